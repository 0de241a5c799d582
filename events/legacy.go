package events

// ObjectChange is the short form of an ObjectChanged that the web frontend of GOsa understands, as JSON.
type ObjectChange struct {
	UUID        string `json:"uuid"`
	DN          string `json:"dn"`          // where the object stands after the change
	LastChanged string `json:"lastChanged"` // generalized time in UTC, to the second: 20261120034903Z
	ChangeType  string `json:"changeType"`  // create, update, remove or move
}

// generalizedTime is LDAP's (RFC 4517, section 3.3.13).
const generalizedTime = "20060102150405Z"

// ObjectChange is the short form of the event; ok is false for any other than an ObjectChanged. The frontend knows no
// extensions of objects: extending and retracting are updates for it.
func (e *Event) ObjectChange() (change ObjectChange, ok bool) {
	if e.Type != ObjectChanged {
		return ObjectChange{}, false
	}
	change = ObjectChange{
		UUID: e.UUID, DN: e.DN, LastChanged: e.Time.UTC().Format(generalizedTime), ChangeType: e.ChangeType,
	}
	if e.NewDN != "" {
		change.DN = e.NewDN
	}
	if e.ChangeType == "extend" || e.ChangeType == "retract" {
		change.ChangeType = "update"
	}
	return change, true
}
