package ldap

import (
	"strings"

	ber "github.com/go-asn1-ber/asn1-ber"
	goldap "github.com/go-ldap/ldap/v3"
)

// The controls that go-ldap does not have.
const (
	assertionOID = "1.3.6.1.1.12"              // RFC 4528
	postReadOID  = "1.3.6.1.1.13.2"            // RFC 4527
	relaxOID     = "1.3.6.1.4.1.4203.666.5.12" // draft-zeilenga-ldap-relax
)

// Filters that are true and false of every entry.
const (
	anything = "(objectClass=*)"
	nothing  = "(!(objectClass=*))"
)

// control is a control, encoded once. All of ours are critical: a server that does not know one must refuse the request
// instead of ignoring what makes it safe.
type control struct {
	oid    string
	packet *ber.Packet // only read once it is made
}

// GetControlType is the control's OID.
func (c *control) GetControlType() string { return c.oid }

// Encode is the Control element of RFC 4511, section 4.1.11.
func (c *control) Encode() *ber.Packet { return c.packet }

// newControl encodes a control; value is nil for none.
func newControl(oid string, value *ber.Packet) *control {
	packet := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "Control")
	packet.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, oid, "Control Type"))
	packet.AppendChild(ber.NewBoolean(ber.ClassUniversal, ber.TypePrimitive, ber.TagBoolean, true, "Criticality"))
	if value != nil {
		wrapped := ber.Encode(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, nil, "Control Value")
		wrapped.AppendChild(value)
		packet.AppendChild(wrapped)
	}
	return &control{oid: oid, packet: packet}
}

// String names the control in go-ldap's debug output.
func (c *control) String() string { return "control " + c.oid }

// newAssertion makes the request fail with result code 122 unless the filter is true of the entry.
func newAssertion(filter *ber.Packet) goldap.Control { return newControl(assertionOID, filter) }

// postRead asks for the version that the entry has after the change. It never changes, so one serves all requests.
var postRead goldap.Control = newPostRead([]string{versionAttribute})

// newPostRead asks for some attributes of the entry after the change.
func newPostRead(names []string) goldap.Control {
	attributes := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "Attributes")
	for _, name := range names {
		attributes.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, name, "Attribute"))
	}
	return newControl(postReadOID, attributes)
}

// relax lets an addition set an attribute that only the server sets otherwise (entryUUID).
var relax goldap.Control = newControl(relaxOID, nil)

// postReadResult finds in the answer to a change the entry after it, as far as it was asked for; nil when the server did
// not send it.
func postReadResult(answer []byte) *result {
	_, _, rest, ok := operation(answer)
	if !ok {
		return nil
	}
	controls, _ := rest.expect(tagControls)
	for controls.at < controls.end {
		control, ok := controls.expect(tagSequence)
		if !ok {
			return nil
		}
		oid, _ := control.expect(tagOctetString)
		if string(oid.bytes()) != postReadOID {
			continue
		}
		tag, value, ok := control.next()
		if ok && tag != tagOctetString { // the criticality
			value, ok = control.expect(tagOctetString)
		}
		body, isEntry := value.expect(tagEntry)
		if !ok || !isEntry {
			return nil
		}
		if entry, err := parseResult(body); err == nil {
			return entry
		}
	}
	return nil
}

// version is the entry's version, "" when it is not among the attributes.
func (r *result) version() string {
	if r == nil {
		return ""
	}
	for i := range r.attributes {
		if a := &r.attributes[i]; strings.EqualFold(a.name, versionAttribute) && len(a.values) == 1 {
			return a.text(0)
		}
	}
	return ""
}
