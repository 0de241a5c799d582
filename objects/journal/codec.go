package journal

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"clacks"
	"clacks/backends"
)

// Text is the form in which a value written and the same value read back are equal, whatever Go type the driver's schema
// gives it: RFC 4517 booleans and times, decimal numbers, bytes as they are.
func Text(v backends.Value) string {
	switch v := v.(type) {
	case string:
		return v
	case []byte:
		return string(v)
	case bool:
		if v {
			return "TRUE"
		}
		return "FALSE"
	case int64:
		return strconv.FormatInt(v, 10)
	case int:
		return strconv.Itoa(v)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case time.Time:
		return v.UTC().Format("20060102150405.999999Z")
	}
	return fmt.Sprint(v)
}

// EncodeValue and DecodeValue keep the Go type of a value through JSON: a letter and its text.
func EncodeValue(v backends.Value) string {
	var short [64]byte
	return string(AppendValue(short[:0], v))
}

// AppendValue appends what EncodeValue returns.
func AppendValue(b []byte, v backends.Value) []byte {
	switch v := v.(type) {
	case nil:
		return b
	case []byte:
		return base64.RawStdEncoding.AppendEncode(append(b, 'x'), v)
	case bool:
		return strconv.AppendBool(append(b, 'b'), v)
	case int64, int:
		return append(append(b, 'i'), Text(v)...)
	case float64:
		return append(append(b, 'f'), Text(v)...)
	case time.Time:
		return v.UTC().AppendFormat(append(b, 't'), time.RFC3339Nano)
	}
	text := Text(v)
	if !utf8.ValidString(text) {
		return base64.RawStdEncoding.AppendEncode(append(b, 'r'), []byte(text)) // JSON would replace the bytes
	}
	return append(append(b, 's'), text...)
}

// DecodeValue is the inverse of EncodeValue.
func DecodeValue(s string) (backends.Value, error) {
	if s == "" {
		return nil, nil
	}
	text := s[1:]
	var v backends.Value
	var err error
	switch s[0] {
	case 's':
		v = text
	case 'r':
		var raw []byte
		raw, err = base64.RawStdEncoding.DecodeString(text)
		v = string(raw)
	case 'x':
		v, err = base64.RawStdEncoding.DecodeString(text)
	case 'b':
		v, err = strconv.ParseBool(text)
	case 'i':
		v, err = strconv.ParseInt(text, 10, 64)
	case 'f':
		v, err = strconv.ParseFloat(text, 64)
	case 't':
		v, err = time.Parse(time.RFC3339Nano, text)
	default:
		err = fmt.Errorf("unknown letter %q", s[0])
	}
	if err != nil {
		return nil, clacks.E(clacks.Internal, "journal.decode", "damaged value: %w", err)
	}
	return v, nil
}

type (
	storedValues map[string][]string
	storedRef    struct {
		backends.Ref
		Key string `json:"key,omitempty"`
	}
	storedMod struct {
		Attribute   string   `json:"a"`
		Delete, Add []string `json:",omitempty"`
	}
	storedStep struct {
		Backend, Object string
		Op              backends.Op
		Ref             storedRef
		To              *storedRef   `json:",omitempty"`
		Add             storedValues `json:",omitempty"`
		Mods            []storedMod  `json:",omitempty"`
		Version         string       `json:",omitempty"`
		GuardUUID       string       `json:",omitempty"`
		Old             storedValues `json:",omitempty"`
		Whole           storedValues `json:",omitempty"`
		Restore         []storedMod  `json:",omitempty"`
	}
)

// Stored are steps in the form in which a plan keeps them.
type Stored []storedStep

// Store gives steps the form that UnmarshalJSON reads. It keeps the Go types of all values.
func Store(steps []Step) Stored {
	stored := make(Stored, len(steps))
	for i := range steps {
		stored[i] = steps[i].store()
	}
	return stored
}

// MarshalJSON keeps the Go types of all values.
func (s Step) MarshalJSON() ([]byte, error) { return json.Marshal(s.store()) }

func (s *Step) store() storedStep {
	c := s.Change
	stored := storedStep{
		Backend: s.Backend, Object: s.Object, Op: c.Op, Ref: storeRef(c.Ref),
		Add: storeValues(c.Add), Version: c.Guard.Version, GuardUUID: c.Guard.UUID, Old: storeValues(c.Guard.Old),
		Whole: storeValues(s.Whole),
	}
	if c.Op == backends.OpRename {
		to := storeRef(c.To)
		stored.To = &to
	}
	stored.Mods, stored.Restore = storeMods(c.Mods), storeMods(s.Restore)
	return stored
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (s *Step) UnmarshalJSON(data []byte) error {
	var stored storedStep
	if err := json.Unmarshal(data, &stored); err != nil {
		return err
	}
	var d decoder
	*s = Step{Backend: stored.Backend, Object: stored.Object, Whole: d.values(stored.Whole)}
	s.Change = backends.Change{
		Op: stored.Op, Ref: d.ref(stored.Ref), Add: d.values(stored.Add),
		Guard: backends.Guard{Version: stored.Version, UUID: stored.GuardUUID, Old: d.values(stored.Old)},
	}
	if stored.To != nil {
		s.Change.To = d.ref(*stored.To)
	}
	s.Change.Mods, s.Restore = d.mods(stored.Mods), d.mods(stored.Restore)
	return d.err
}

func storeRef(r backends.Ref) storedRef {
	stored := storedRef{Ref: r, Key: EncodeValue(r.Key)}
	stored.Ref.Key = nil
	return stored
}

func storeMods(mods []backends.Mod) []storedMod {
	var stored []storedMod
	for _, m := range mods {
		stored = append(stored, storedMod{m.Attribute, storeList(m.Delete), storeList(m.Add)})
	}
	return stored
}

func storeList(values []backends.Value) []string {
	if values == nil {
		return nil
	}
	stored := make([]string, len(values))
	for i, v := range values {
		stored[i] = EncodeValue(v)
	}
	return stored
}

func storeValues(values backends.Values) storedValues {
	if values == nil {
		return nil
	}
	stored := make(storedValues, len(values))
	for name, list := range values {
		stored[name] = storeList(list)
	}
	return stored
}

// decoder keeps the first error, so that the reading code stays a list of fields.
type decoder struct{ err error }

func (d *decoder) value(s string) backends.Value {
	v, err := DecodeValue(s)
	if err != nil && d.err == nil {
		d.err = err
	}
	return v
}

func (d *decoder) list(stored []string) []backends.Value {
	if stored == nil {
		return nil
	}
	values := make([]backends.Value, len(stored))
	for i, s := range stored {
		values[i] = d.value(s)
	}
	return values
}

func (d *decoder) mods(stored []storedMod) []backends.Mod {
	var mods []backends.Mod
	for _, m := range stored {
		mods = append(mods, backends.Mod{Attribute: m.Attribute, Delete: d.list(m.Delete), Add: d.list(m.Add)})
	}
	return mods
}

func (d *decoder) values(stored storedValues) backends.Values {
	if stored == nil {
		return nil
	}
	values := make(backends.Values, len(stored))
	for name, list := range stored {
		values[name] = d.list(list)
	}
	return values
}

func (d *decoder) ref(stored storedRef) backends.Ref {
	ref := stored.Ref
	ref.Key = d.value(stored.Key)
	return ref
}
