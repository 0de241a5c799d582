package events

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"time"

	"clacks"
	"clacks/access"
	"clacks/objects"
	"clacks/xquery"
)

// SendOption says more about a sent event.
type SendOption func(*sendOptions)

type sendOptions struct{ key string }

// IdempotencyKey makes a repeated Send of the same user answer with the first one's sequence number. "" is none.
func IdempotencyKey(key string) SendOption { return func(o *sendOptions) { o.key = key } }

// Send validates an event document of a client and appends it; the result is its sequence number. The user needs the
// right to execute "{domain}.event.{Type}". An ObjectChanged or a BackendChange is written anew by the log: its Actor is
// the user, its Origin external and its Sequence the log's, whatever the document said. Others are kept as they came,
// without their XML declaration.
//
// Errors are clacks.Unauthenticated, Denied, Invalid (line and reason), Unavailable and InDoubt.
func (l *Log) Send(ctx context.Context, user access.User, document []byte, options ...SendOption) (int64, error) {
	const op = "events.send"
	var o sendOptions
	for _, option := range options {
		option(&o)
	}
	if user.Anonymous() {
		return 0, clacks.E(clacks.Unauthenticated, op, "log in to send events")
	}
	// Before the whole is looked at: who may not send it is not to make the validator work.
	eventType, err := typeOf(document)
	if err != nil {
		return 0, err
	}
	if !l.policy.Allowed(user, access.Execute, access.Topic{Event: l.right(eventType)}) {
		return 0, clacks.E(clacks.Denied, op, "you may not send events of the type %.100q", eventType)
	}
	if err := l.schemas.Load().Validate(document); err != nil {
		return 0, err
	}
	r, err := sentRow(eventType, user, document)
	if err != nil {
		return 0, err
	}
	r.id = eventID(user.ID, o.key)
	return l.append(ctx, r)
}

// typeOf is the local name of the root's child. It reads no further than that.
func typeOf(document []byte) (string, error) {
	if len(document) > MaxDocument {
		return "", invalidEvent(0, "the document has %d bytes; %d are allowed", len(document), MaxDocument)
	}
	decoder := xml.NewDecoder(bytes.NewReader(document))
	for depth := 0; ; {
		line, _ := decoder.InputPos()
		token, err := decoder.Token()
		if err != nil {
			return "", wrongXML(err, line)
		}
		switch t := token.(type) {
		case xml.Directive:
			return "", invalidEvent(line, "a DOCTYPE is not allowed")
		case xml.EndElement:
			return "", invalidEvent(line, "the event has no content")
		case xml.StartElement:
			if t.Name.Space != Namespace || depth == 0 && t.Name.Local != "Event" {
				return "", invalidEvent(line, "an event is an element Event in the namespace %s, with one child", Namespace)
			}
			if depth++; depth == 2 {
				return t.Name.Local, nil
			}
		}
	}
}

// invalidEvent is the error for one violation in a document.
func invalidEvent(line int, format string, args ...any) error {
	return &clacks.Error{
		Op: "events.send", Kind: clacks.Invalid, Reason: "the event document is not valid",
		Fields: []clacks.Field{wrongEvent(line, fmt.Sprintf(format, args...))},
	}
}

func wrongXML(err error, line int) error {
	var syntax *xml.SyntaxError
	switch {
	case errors.Is(err, io.EOF):
		return invalidEvent(line, "the document ends before its event")
	case errors.As(err, &syntax):
		return invalidEvent(syntax.Line, "not well-formed XML: %s", syntax.Msg)
	}
	return invalidEvent(line, "not well-formed XML: %v", err)
}

// sentRow makes the row of a valid document.
func sentRow(eventType string, user access.User, document []byte) (row, error) {
	now := time.Now()
	if eventType == ObjectChanged || eventType == BackendChange {
		change, modified, err := readChange(document)
		if err != nil {
			return row{}, err
		}
		change.Actor, change.Origin, change.Time = user.ID, originExternal, now
		return rowOf(eventType, change, modified), nil
	}
	document = withoutDeclaration(document)
	// Subscribers' queries will work on it: what the validator and the query engine do not both take for XML is refused.
	parsed, err := parse(document)
	if err != nil {
		var wrong *xquery.Error
		if errors.As(err, &wrong) {
			return row{}, invalidEvent(wrong.Line, "%s", wrong.Message)
		}
		return row{}, invalidEvent(0, "%v", err)
	}
	parsed.Free()
	return row{eventType: eventType, time: now, origin: originExternal, actor: user.ID, document: string(document)}, nil
}

// withoutDeclaration cuts the byte order mark and the XML declaration off: a stored document is UTF-8 and says no more.
func withoutDeclaration(document []byte) []byte {
	document = bytes.TrimPrefix(document, []byte("\xef\xbb\xbf"))
	if !bytes.HasPrefix(document, []byte("<?xml ")) && !bytes.HasPrefix(document, []byte("<?xml\t")) &&
		!bytes.HasPrefix(document, []byte("<?xml\r")) && !bytes.HasPrefix(document, []byte("<?xml\n")) {
		return document
	}
	_, rest, _ := bytes.Cut(document, []byte("?>"))
	return bytes.TrimLeft(rest, " \t\r\n")
}

// changeDocument is the content of an ObjectChanged or a BackendChange. Who did it, where it comes from and its number
// are not read: the log knows better.
type changeDocument struct {
	XMLName xml.Name      `xml:"http://www.gonicus.de/Events Event"`
	Change  changeElement `xml:",any"`
}

type changeElement struct {
	UUID, DN, NewDN, ObjectType, ChangeType, ModificationTime string

	TransactionID string             `xml:"TransactionId"`
	Attributes    []attributeElement `xml:"Attributes>Attribute"`
}

type attributeElement struct {
	Name string `xml:"name,attr"`
	Old  []string
	New  []string
}

// readChange reads a valid document of one of the two types.
func readChange(document []byte) (*objects.Changed, string, error) {
	var d changeDocument
	if err := xml.Unmarshal(document, &d); err != nil {
		return nil, "", wrongXML(err, 0)
	}
	c := &objects.Changed{
		UUID: d.Change.UUID, DN: d.Change.DN, NewDN: d.Change.NewDN, ObjectType: d.Change.ObjectType,
		ChangeType: d.Change.ChangeType, TransactionID: d.Change.TransactionID,
	}
	for _, a := range d.Change.Attributes {
		c.Attributes = append(c.Attributes, objects.AttributeChange(a))
	}
	return c, d.Change.ModificationTime, nil
}
