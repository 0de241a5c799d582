package commands_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// transcripts are recorded requests and answers of the service whose clients the legacy dialect is for. They are not part
// of this repository.
const transcripts = "../../../shared/reference/gosa3/transcripts"

// exchange is one recorded call.
type exchange struct {
	file   string
	body   string
	method string
	params []any
	status int
	answer string
}

// readTranscript reads the calls of a file that have a body in the legacy envelope and were answered.
func readTranscript(t *testing.T, file string) []exchange {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(transcripts, file))
	if err != nil {
		t.Skipf("the recorded transcripts are not here: %v", err)
	}
	var list []exchange
	for part := range strings.SplitSeq(string(text), ">>> POST /rpc HTTP/1.1\n") {
		request, response, ok := strings.Cut(part, "<<< HTTP/1.1 ")
		if !ok {
			continue
		}
		_, body, _ := strings.Cut(request, ">>>\n")
		e := exchange{file: file, body: strings.TrimSpace(body)}
		var call struct {
			Method string
			Params []any
		}
		if json.Unmarshal([]byte(e.body), &call) != nil {
			continue
		}
		e.method, e.params = call.Method, call.Params
		if _, err := fmt.Sscanf(response, "%d", &e.status); err != nil {
			t.Fatal(err)
		}
		_, answer, _ := strings.Cut(response, "\n<<<\n")
		e.answer, _, _ = strings.Cut(strings.TrimSpace(answer), "\n")
		list = append(list, e)
	}
	return list
}

var reference = regexp.MustCompile(`[0-9a-f]{8}-e49[0-9a-f]-11f1-[0-9a-f]{4}-02fc00000001`)

// faults are recorded answers that are not to be reproduced, or that show what this service does not offer (yet), by their
// method and a part of their request; ours differ on purpose.
var faults = []struct{ method, part, why string }{
	{"openObject", `cn=nope`, "an error with an empty text"},
	{"openObject", `["object"]`, "an index out of range"},
	{"search", `"params": []`, "the message of an interpreter"},
	{"searchForObjectDetails", "", "not offered yet"},
	{"searchObjects", "", "a command of the same name for programs, with other parameters"},
	{"getObjectDetails", "", "not offered yet"},
	{"getContainerTree", "", "not offered yet"},
	{"diffObject", "", "not offered yet"},
	{"saveUserPreferences", "", "not offered yet"},
	{"loadUserPreferences", "", "not offered yet"},
	{"getTemplateI18N", "", "not offered yet"},
	{"closeObject", `"id": 30`, "closing twice is no error: clients send requests twice"},
	{"getAllowedSubElementsForObjectWithActions", "", "not offered yet"},
	{"getGuiTemplates", "", "templates are not offered yet"},
	{"getGuiDialogs", "", "templates are not offered yet"},
	{"getAvailableObjectNames", `[false, "User"]`, "answers nothing, whatever may stand below"},
	{"dispatchObjectMethod", "asJSON", "not offered: it shows password hashes"},
	{"dispatchObjectMethod", "asXML", "answers a stack trace"},
	{"dispatchObjectMethod", "get_templates", "templates are not offered yet"},
	{"dispatchObjectMethod", `"lock"`, "methods of definitions are not offered yet"},
	{"setObjectProperty", `"not-a-list"`, "a single value is taken for a list of one"},
	{"setObjectProperty", `"sn", null`, "refused at commit, when the whole object can be judged"},
	{"setObjectProperty", "not a number", "the shipped definitions check no telephone numbers"},
	{"setObjectProperty", `"uid", "x y"`, "the shipped definitions do not restrict names"},
	{"dispatchObjectMethod", `"nosuchmethod"`, "the object was not left with a cleared sn there"},
}

func fault(e exchange) bool {
	for _, f := range faults {
		if e.method == f.method && strings.Contains(e.body, f.part) {
			return true
		}
	}
	return false
}

// byName are the parts of an answer that are keyed by names of attributes and types: those differ with the definitions.
var byName = map[string]bool{"value": true, "values": true, "extensions": true, "extension_deps": true, "extension_methods": true,
	"extension_states": true, "saveable": true}

// sameShape compares an answer with the recorded one: what a client of the other finds there it finds here, too.
func sameShape(path string, recorded, got any, report func(format string, args ...any)) {
	if recorded == nil || got == nil {
		return // whether there is a value differs with the data
	}
	switch r := recorded.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if list, isList := got.([]any); !ok && isList && len(list) == 0 && strings.HasSuffix(path, ".values") {
			return // no allowed values are an empty list, or an empty object
		}
		if !ok {
			report("%s is %T, not an object", path, got)
			return
		}
		named := byName[path[strings.LastIndexByte(path, '.')+1:]] || path == "get_attributes" || path == "get_extension_types" || r["__jsonclass__"] != nil && r["uuid"] != nil
		for name, value := range r {
			if _, has := g[name]; !has && !named {
				report("%s.%s is missing", path, name)
				continue
			}
			sameShape(path+"."+name, value, g[name], report)
		}
	case []any:
		g, ok := got.([]any)
		if !ok {
			report("%s is %T, not a list", path, got)
		} else if len(r) > 0 && len(g) > 0 {
			sameShape(path+"[0]", r[0], g[0], report)
		}
	default:
		if fmt.Sprintf("%T", recorded) != fmt.Sprintf("%T", got) {
			report("%s is %T %v, recorded %T", path, got, got, recorded)
		}
	}
}

// replay runs the calls of a transcript against our service, with our references in place of the recorded ones.
func replay(t *testing.T, w *world, file string) {
	references := map[string]string{}
	compared := 0
	for _, e := range readTranscript(t, file) {
		if e.method == "login" || fault(e) {
			continue
		}
		body := reference.ReplaceAllStringFunc(e.body, func(ref string) string {
			if ours, ok := references[ref]; ok {
				return ours
			}
			return ref
		})
		status, text := w.post(body)
		report := func(format string, args ...any) {
			t.Errorf("%s: %s: %s", file, e.body, fmt.Sprintf(format, args...))
		}
		compared++
		if status != e.status {
			report("status %d, recorded %d: %.300s", status, e.status, text)
			continue
		}
		if !strings.HasPrefix(e.answer, "{") {
			continue // a sentence for people
		}
		recorded, got := decode(t, []byte(e.answer)), decode(t, []byte(text))
		if e.status != http.StatusOK {
			compareErrors(t, recorded, got, report)
			continue
		}
		path := e.method
		if e.method == "dispatchObjectMethod" {
			path, _ = e.params[1].(string)
		}
		theirs, ours := member(t, recorded, "result"), member(t, got, "result")
		sameShape(path, theirs, ours, report)
		if theirs == nil != (ours == nil) {
			report("result %v, recorded %v", ours, theirs)
		}
		if e.method == "openObject" || e.method == "openObjectByType" || e.method == "reloadObject" {
			references[proxyOf(t, theirs).ref] = proxyOf(t, ours).ref
		}
	}
	if compared == 0 {
		t.Errorf("%s: nothing was compared", file)
	}
}

// compareErrors compares what clients read of an error.
func compareErrors(t *testing.T, recorded, got any, report func(format string, args ...any)) {
	for _, name := range []string{"name", "code"} {
		if member(t, got, "error", name) != member(t, recorded, "error", name) {
			report("error.%s is %v, recorded %v", name, member(t, got, "error", name), member(t, recorded, "error", name))
		}
	}
	theirs, ours := member(t, recorded, "error", "error"), member(t, got, "error", "error")
	detail, ok := theirs.(map[string]any)
	if !ok {
		return
	}
	for _, name := range []string{"code", "topic", "text", "_id", "details"} {
		if _, has := ours.(map[string]any)[name]; !has {
			report("error.error.%s is missing", name)
		}
	}
	if code, _ := detail["code"].(string); strings.HasPrefix(code, "ATTRIBUTE_") || strings.HasSuffix(code, "_NOT_FOUND") {
		if member(t, ours, "code") != code {
			report("code %v, recorded %s", member(t, ours, "code"), code)
		}
	}
	message := member(t, got, "error", "message").(string)
	if !strings.HasPrefix(message, "<"+member(t, ours, "_id").(string)+"> ") {
		report("message %q", message)
	}
}

func TestTranscripts(t *testing.T) {
	files := []string{"05-errors.txt", "06-openObject-read-close.txt", "08-set-commit.txt", "10-search.txt", "11-cached-method.txt",
		"18-users-misc.txt", "13-logout.txt"}
	readTranscript(t, files[0])
	w := newWorld(t)
	w.login()
	w.call("createObject", map[string]any{"type": "PeopleContainer", "base": base})
	for _, name := range []string{"Anna Meyer000", "Bernd Meyer001", "Clara Meyer002", "Frank Meyer005", "Jan Klein999", "Hans Meyer007"} {
		given, family, _ := strings.Cut(name, " ")
		number := family[len(family)-3:]
		w.call("createObject", map[string]any{"type": "User", "base": "ou=people," + base, "attributes": map[string]any{
			"uid": "user0" + number, "cn": name, "sn": family, "givenName": given, "telephoneNumber": []string{"+49 2932 0001"}}})
	}
	for _, file := range files {
		t.Run(file, func(t *testing.T) { replay(t, w, file) })
	}
}
