package main

import (
	"fmt"
	"reflect"
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

// walkKeys calls unknown for each key of a mapping that is neither a setting nor a section.
func walkKeys(node *yaml.Node, prefix string, known []configKey, unknown func(*yaml.Node, string)) {
	if node.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		name, value := node.Content[i], node.Content[i+1]
		path := prefix + name.Value
		pattern := path
		if prefix == "backends." {
			pattern = "backends.NAME"
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

// walkKeysIn walks a section whose pattern may differ from its path (a backend's name stands for NAME).
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

// nearestKey is the known key that was probably meant, compared by the last part of its name.
func nearestKey(key string, known []configKey) string {
	parts := make([]string, len(known))
	for i, k := range known {
		parts[i] = lastPart(k.Path)
	}
	found := nearest.Name(lastPart(key), parts)
	if found == "" {
		return ""
	}
	prefix := key[:len(key)-len(lastPart(key))]
	for _, k := range known {
		if lastPart(k.Path) == found && (k.Path == prefix+found || strings.Contains(k.Path, "NAME") && strings.HasPrefix(prefix, "backends.")) {
			return prefix + found
		}
	}
	return known[slices.Index(parts, found)].Path
}

func lastPart(path string) string { return path[strings.LastIndex(path, ".")+1:] }
