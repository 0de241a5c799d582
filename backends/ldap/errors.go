package ldap

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"clacks"
	"clacks/internal/dn"
)

// verdict is what a result code means for the caller.
type verdict struct {
	kind   clacks.Kind
	reason string
	code   string // of the field, when the diagnostic message names an attribute
}

// verdicts are the result codes of RFC 4511, appendix A, and of RFC 4528. All of them mean that nothing was applied.
var verdicts = map[uint16]verdict{
	goldap.LDAPResultOperationsError:              {clacks.Unavailable, "the directory has an internal problem", ""},
	goldap.LDAPResultProtocolError:                {clacks.Invalid, "the directory does not understand the request", ""},
	goldap.LDAPResultTimeLimitExceeded:            {clacks.Limit, "the directory's time limit is exceeded", ""},
	goldap.LDAPResultSizeLimitExceeded:            {clacks.Limit, "the directory's size limit is exceeded", ""},
	goldap.LDAPResultStrongAuthRequired:           {clacks.Denied, "the directory asks for a stronger authentication", ""},
	goldap.LDAPResultReferral:                     {clacks.Unavailable, "the entry lies on another server", ""},
	goldap.LDAPResultAdminLimitExceeded:           {clacks.Limit, "an administrative limit of the directory is exceeded", ""},
	goldap.LDAPResultUnavailableCriticalExtension: {clacks.Unavailable, "the directory lacks a control that is needed", ""},
	goldap.LDAPResultConfidentialityRequired:      {clacks.Denied, "the directory asks for encryption", ""},
	goldap.LDAPResultNoSuchAttribute:              {clacks.Conflict, "a value that was to be removed is not there", ""},
	goldap.LDAPResultUndefinedAttributeType:       {clacks.Invalid, "the directory does not know an attribute", clacks.CodeUnknown},
	goldap.LDAPResultInappropriateMatching:        {clacks.Invalid, "an attribute cannot be compared", clacks.CodeType},
	goldap.LDAPResultConstraintViolation:          {clacks.Invalid, "a constraint of the directory is violated", clacks.CodeCheck},
	goldap.LDAPResultAttributeOrValueExists:       {clacks.Conflict, "a value that was to be added is there already", ""},
	goldap.LDAPResultInvalidAttributeSyntax:       {clacks.Invalid, "a value does not have the syntax of its attribute", clacks.CodeType},
	goldap.LDAPResultNoSuchObject:                 {clacks.NotFound, "there is no such entry", ""},
	goldap.LDAPResultInvalidDNSyntax:              {clacks.Invalid, "this is not a name", ""},
	goldap.LDAPResultInappropriateAuthentication:  {clacks.Denied, "the directory refuses this authentication", ""},
	goldap.LDAPResultInvalidCredentials:           {clacks.Denied, "the directory refuses the credentials", ""},
	goldap.LDAPResultInsufficientAccessRights:     {clacks.Denied, "the directory does not permit it", ""},
	goldap.LDAPResultBusy:                         {clacks.Unavailable, "the directory is busy", ""},
	goldap.LDAPResultUnavailable:                  {clacks.Unavailable, "the directory is shutting down", ""},
	goldap.LDAPResultUnwillingToPerform:           {clacks.Invalid, "the directory is unwilling to do it", ""},
	goldap.LDAPResultNamingViolation:              {clacks.Invalid, "the name does not fit the entry", ""},
	goldap.LDAPResultObjectClassViolation:         {clacks.Invalid, "the entry does not fit its object classes", clacks.CodeCheck},
	goldap.LDAPResultNotAllowedOnNonLeaf:          {clacks.InUse, "the entry has children", ""},
	goldap.LDAPResultNotAllowedOnRDN:              {clacks.Invalid, "the attribute is part of the entry's name", ""},
	goldap.LDAPResultEntryAlreadyExists:           {clacks.NotUnique, "the name is taken", ""},
	goldap.LDAPResultObjectClassModsProhibited:    {clacks.Invalid, "the object classes cannot be changed like this", ""},
	goldap.LDAPResultAffectsMultipleDSAs:          {clacks.Invalid, "the entry cannot move to another server", ""},
	goldap.LDAPResultOther:                        {clacks.Unavailable, "the directory has an internal problem", ""},
	goldap.LDAPResultAssertionFailed:              {clacks.Conflict, "the entry has changed meanwhile", ""},
}

// isLost reports whether an error is not an answer of the server: the connection broke, timed out or was interrupted.
func isLost(err error) bool {
	if err == nil {
		return false
	}
	var answer *goldap.Error
	if !errors.As(err, &answer) {
		return true
	}
	return answer.ResultCode >= goldap.ErrorNetwork && answer.ResultCode != goldap.ErrorFilterCompile &&
		answer.ResultCode != goldap.ErrorEmptyPassword
}

// because is an error whose reason is for the user and whose cause is for the log.
func because(kind clacks.Kind, op, reason string, cause error) *clacks.Error {
	return &clacks.Error{Op: op, Kind: kind, Reason: reason, Err: cause}
}

// ended is the error of a context that has ended. A connection's deadline may pass a moment before the context's own timer
// notices.
func ended(ctx context.Context) error {
	if deadline, ok := ctx.Deadline(); ok && ctx.Err() == nil && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return ctx.Err()
}

// failed turns what go-ldap returned into the contract's error. doubt says that the request was a change and may have
// reached the server.
func failed(ctx context.Context, op string, err error, doubt bool) error {
	if isLost(err) {
		cause := errors.Join(ended(ctx), err)
		if doubt {
			return because(clacks.InDoubt, op, "the directory did not answer, the change may have been applied", cause)
		}
		return because(clacks.Unavailable, op, "the directory did not answer", cause)
	}
	var answer *goldap.Error
	errors.As(err, &answer)
	if answer.ResultCode == goldap.ErrorFilterCompile || answer.ResultCode == goldap.ErrorEmptyPassword {
		return because(clacks.Invalid, op, "the request is malformed", err)
	}
	v, ok := verdicts[answer.ResultCode]
	if !ok {
		v = verdict{kind: clacks.Unavailable, reason: "the directory refuses for a reason of its own"}
	}
	e := &clacks.Error{Op: op, Kind: v.kind, Reason: v.reason, Err: err}
	if answer.Err != nil {
		diagnose(e, v.code, answer.Err.Error())
	}
	return e
}

// diagnosis finds the attribute in OpenLDAP's diagnostic messages:
//
//	mail: value #0 invalid per syntax
//	modify/add: mail: value #0 already exists
//	object class 'inetOrgPerson' requires attribute 'sn'
//	attribute 'displayName' cannot have multiple values
var diagnosis = regexp.MustCompile(`^(?:modify/[a-z]+: )?([A-Za-z][A-Za-z0-9;-]*): |attribute '([^']+)'`)

// diagnose adds the attribute that the server names. The message itself may hold values and stays a matter of the log.
func diagnose(e *clacks.Error, code, message string) {
	if e.Kind != clacks.Invalid && e.Kind != clacks.Conflict {
		return
	}
	switch {
	case strings.Contains(message, "not unique") || strings.Contains(message, "non-unique"): // overlay unique
		e.Kind, e.Reason, code = clacks.NotUnique, "a unique value is taken", clacks.CodeNotUnique
	case strings.Contains(message, "requires attribute"):
		code = clacks.CodeMandatory
	case strings.Contains(message, "not allowed"):
		code = clacks.CodeUnknown
	case strings.Contains(message, "multiple values"):
		code = clacks.CodeSingle
	case strings.Contains(message, "no user modification"):
		code = clacks.CodeReadOnly
	}
	found := diagnosis.FindStringSubmatch(message)
	if found == nil || code == "" {
		return
	}
	e.Fields = []clacks.Field{{Attribute: found[1] + found[2], Code: code, Reason: e.Reason}}
	e.Reason = "the directory refuses the change" // the field says why
}

// longName is the length in bytes above which a relative name may be what a server cannot store: OpenLDAP's mdb keeps it
// twice in a key of 511 bytes, and says nothing but "other" about one that is longer.
const longName = 200

// nameFault makes a refusal that tells nothing, of a change that gives an entry a long name, one of that name.
func nameFault(op, name string, err error) error {
	var answer *goldap.Error
	if !errors.As(err, &answer) || answer.ResultCode != goldap.LDAPResultOther || len(dn.RDN(name)) <= longName {
		return err
	}
	e := because(clacks.Invalid, op, "the directory refuses the name", err)
	longest := -1
	for _, part := range dn.RDNValues(name) {
		if len(part.Value) > longest {
			longest = len(part.Value)
			e.Fields = []clacks.Field{{Attribute: part.Attribute, Code: clacks.CodeCheck, Reason: "it is too long to name an entry of this directory"}}
		}
	}
	return e
}
