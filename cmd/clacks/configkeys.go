package main

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"clacks/internal/nearest"
)

// unknownKeys finds the keys of a YAML file that no setting has, with their place and the nearest known key.
func unknownKeys(path string, data []byte) []string {
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil {
		return []string{path + ": " + strings.TrimPrefix(err.Error(), "yaml: ")}
	}
	if len(document.Content) == 0 {
		return nil
	}
	known := configKeys(reflect.TypeFor[Config](), reflect.ValueOf(*defaultConfig()), "")
	var problems []string
	walkKeys(document.Content[0], "", known, func(node *yaml.Node, key string) {
		problem := fmt.Sprintf("%s:%d:%d: unknown key %q", path, node.Line, node.Column, key)
		if near := nearestKey(key, known); near != "" {
			problem += fmt.Sprintf("; did you mean %q?", near)
		}
		problems = append(problems, problem)
	})
	return problems
}

// decodeFailure is the key in each line of the decoder's error.
var decodeFailure = regexp.MustCompile(`(?m)^'([^']+)' `)

// wrongValues says of each value that does not fit its key where the key stands, and what would fit. The value is not told:
// it may be a secret in the wrong place.
func wrongValues(path string, data []byte, failure error) []string {
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil || len(document.Content) == 0 {
		return []string{path + ": " + failure.Error()}
	}
	known := configKeys(reflect.TypeFor[Config](), reflect.ValueOf(*defaultConfig()), "")
	var problems []string
	for _, match := range decodeFailure.FindAllStringSubmatch(failure.Error(), -1) {
		key := strings.NewReplacer("[", ".", "]", "").Replace(match[1])
		problem := fmt.Sprintf("%s: %s: the value does not fit", placeOfKey(path, document.Content[0], key), key)
		pattern := patternOf(key)
		if i := slices.IndexFunc(known, func(k configKey) bool { return k.Path == pattern }); i >= 0 {
			problem += "; write it like " + known[i].Example
		} else if _, section := keyKnown(pattern, known); section {
			problem += "; it is a section with keys of its own"
		}
		problems = append(problems, problem)
	}
	if len(problems) == 0 {
		return []string{path + ": " + failure.Error()}
	}
	slices.Sort(problems)
	return problems
}

// placeOfKey is the file with the line and column of a key, or of the last part of its path that is there.
func placeOfKey(file string, node *yaml.Node, key string) string {
	place := file
	for _, part := range strings.Split(key, ".") {
		found := false
		for i := 0; i+1 < len(node.Content) && !found; i += 2 {
			if name := node.Content[i]; name.Value == part {
				place, node, found = fmt.Sprintf("%s:%d:%d", file, name.Line, name.Column), node.Content[i+1], true
			}
		}
		if !found {
			break
		}
	}
	return place
}

// namedSections hold sections whose names are the user's.
var namedSections = []string{"backends.", "amqp.queues."}

// patternOf is the path of a key with NAME for the user's own name of its section.
func patternOf(key string) string {
	for _, section := range namedSections {
		rest, ok := strings.CutPrefix(key, section)
		if _, in, named := strings.Cut(rest, "."); ok && named {
			return section + "NAME." + in
		}
	}
	return key
}

// walkKeys calls unknown for each key of a mapping that is neither a setting nor a section.
func walkKeys(node *yaml.Node, prefix string, known []configKey, unknown func(*yaml.Node, string)) {
	if node.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		name, value := node.Content[i], node.Content[i+1]
		path := prefix + name.Value
		pattern := path
		if slices.Contains(namedSections, prefix) {
			pattern = prefix + "NAME"
		}
		leaf, section := keyKnown(pattern, known)
		switch {
		case section:
			walkKeysIn(value, pattern, path, known, unknown)
		case !leaf:
			unknown(name, path)
		}
	}
}

// walkKeysIn walks a section whose pattern may differ from its path (a backend's or a queue's name stands for NAME).
func walkKeysIn(value *yaml.Node, pattern, path string, known []configKey, unknown func(*yaml.Node, string)) {
	walkKeys(value, pattern+".", known, func(node *yaml.Node, key string) {
		unknown(node, path+strings.TrimPrefix(key, pattern))
	})
}

func keyKnown(path string, known []configKey) (leaf, section bool) {
	for _, k := range known {
		if k.Path == path {
			leaf = true
		}
		if strings.HasPrefix(k.Path, path+".") {
			section = true
		}
	}
	return leaf, section
}

// nearestKey is the known key or section that was probably meant, compared by the last part of its name; one in the same
// section is preferred.
func nearestKey(key string, known []configKey) string {
	prefix := key[:len(key)-len(lastPart(key))]
	var beside, all []string // paths, with the section's own name for NAME
	for _, k := range known {
		path := k.Path
		for _, section := range namedSections {
			rest, ok := strings.CutPrefix(path, section+"NAME.")
			if ok && strings.HasPrefix(prefix, section) && strings.Count(prefix, ".") == strings.Count(section, ".")+1 {
				path = prefix + rest
			}
		}
		for ; path != ""; path = path[:max(strings.LastIndex(path, "."), 0)] {
			all = append(all, path)
			if strings.HasPrefix(path, prefix) && !strings.Contains(path[len(prefix):], ".") {
				beside = append(beside, path)
			}
		}
	}
	for _, paths := range [][]string{beside, all} {
		parts := make([]string, len(paths))
		for i, path := range paths {
			parts[i] = lastPart(path)
		}
		if found := nearest.Name(lastPart(key), parts); found != "" {
			return paths[slices.Index(parts, found)]
		}
	}
	return ""
}

func lastPart(path string) string { return path[strings.LastIndex(path, ".")+1:] }
