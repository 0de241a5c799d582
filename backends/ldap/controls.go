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

// control is a control whose value is a BER element. All of ours are critical: a server that does not know one must
// refuse the request instead of ignoring what makes it safe.
type control struct {
	oid   string
	value *ber.Packet // nil for none
}

// GetControlType is the control's OID.
func (c *control) GetControlType() string { return c.oid }

// Encode is the Control element of RFC 4511, section 4.1.11.
func (c *control) Encode() *ber.Packet {
	packet := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "Control")
	packet.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, c.oid, "Control Type"))
	packet.AppendChild(ber.NewBoolean(ber.ClassUniversal, ber.TypePrimitive, ber.TagBoolean, true, "Criticality"))
	if c.value != nil {
		value := ber.Encode(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, nil, "Control Value")
		value.AppendChild(c.value)
		packet.AppendChild(value)
	}
	return packet
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
	return &control{oid: assertionOID, value: compiled}
}

// postRead asks for the version that the entry has after the change. It never changes, so one serves all requests.
var postRead goldap.Control = func() *control {
	attributes := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "Attributes")
	attributes.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, versionAttribute, "Attribute"))
	return &control{oid: postReadOID, value: attributes}
}()

// newRelax lets an addition set an attribute that only the server sets otherwise (entryUUID).
func newRelax() goldap.Control { return &control{oid: relaxOID} }

// postReadVersion finds the version in an answer to a change: message ID, result, controls. It is empty when the server
// did not send one.
func postReadVersion(answer []byte) string {
	message, err := ber.DecodePacketErr(answer)
	if err != nil || len(message.Children) < 3 {
		return ""
	}
	for _, control := range message.Children[2].Children {
		if len(control.Children) < 2 || string(control.Children[0].ByteValue) != postReadOID {
			continue
		}
		value := control.Children[len(control.Children)-1].ByteValue
		entry, err := ber.DecodePacketErr(value)
		if err != nil || len(entry.Children) < 2 {
			return ""
		}
		for _, attribute := range entry.Children[1].Children {
			if len(attribute.Children) == 2 && len(attribute.Children[1].Children) == 1 {
				return string(attribute.Children[1].Children[0].ByteValue)
			}
		}
	}
	return ""
}
