package ldap

import (
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

// newAssertion makes the request fail with result code 122 unless the filter is true of the entry. The filter is one of
// ours and compiles.
func newAssertion(filter string) goldap.Control {
	compiled, err := goldap.CompileFilter(filter)
	if err != nil {
		// A guard that cannot be said must never be dropped: an assertion that is always false takes its place.
		compiled, _ = goldap.CompileFilter(nothing)
	}
	return newControl(assertionOID, compiled)
}

// postRead asks for the version that the entry has after the change. It never changes, so one serves all requests.
var postRead goldap.Control = func() *control {
	attributes := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "Attributes")
	attributes.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, versionAttribute, "Attribute"))
	return newControl(postReadOID, attributes)
}()

// relax lets an addition set an attribute that only the server sets otherwise (entryUUID).
var relax goldap.Control = newControl(relaxOID, nil)

// postReadVersion finds the version in the answer to a change, of which it is the only attribute asked for. It is empty
// when the server did not send one.
func postReadVersion(answer []byte) string {
	_, _, rest, ok := operation(answer)
	if !ok {
		return ""
	}
	controls, _ := rest.expect(tagControls)
	for controls.at < controls.end {
		control, ok := controls.expect(tagSequence)
		if !ok {
			return ""
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
			return ""
		}
		if entry, err := parseResult(body); err == nil && len(entry.attributes) == 1 && entry.values == 1 {
			return entry.attributes[0].text(0)
		}
	}
	return ""
}
