package busd

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"clacks"
	"clacks/bus"
)

func passed(t *testing.T, s *signer, edit func(p *pass)) (string, *bus.Message) {
	t.Helper()
	m := &bus.Message{Body: []byte(`{"method":"x"}`), Properties: bus.Properties{ReplyTo: "dynamic.a"}}
	p := pass{User: "jane", From: "a1", To: "a2", Run: "run", ID: "1", Hops: 2, Until: s.now().Add(time.Minute).UnixMilli(), Bound: bound(m)}
	if edit != nil {
		edit(&p)
	}
	token, err := s.sign(p)
	if err != nil {
		t.Fatal(err)
	}
	return token, m
}

func TestPass(t *testing.T) {
	now := time.Now()
	clock := func() time.Time { return now }
	s := newSigner(secret, clock)
	token, m := passed(t, s, nil)
	p, err := s.check(token, "a2", "run", m)
	if err != nil || p.User != "jane" || p.Hops != 2 {
		t.Fatalf("%+v, %v", p, err)
	}
	if _, err := s.check(token, "a2", "run", m); !clacks.IsKind(err, clacks.Denied) {
		t.Errorf("a replay: %v", err)
	}
	s.again(p)
	if _, err := s.check(token, "a2", "run", m); err != nil {
		t.Errorf("after it was given back: %v", err)
	}
	other, otherMessage := *m, *m
	other.Body = []byte(`{"method":"y"}`)
	otherMessage.Properties.ReplyTo = "dynamic.b"
	fresh := func(edit func(p *pass)) string {
		token, _ := passed(t, s, func(p *pass) {
			p.ID = "2"
			if edit != nil {
				edit(p)
			}
		})
		return token
	}
	foreign, _ := passed(t, newSigner([]byte("another secret of thirty-two bytes!"), clock), func(p *pass) { p.ID = "2" })
	body, signature, _ := strings.Cut(fresh(nil), ".")
	for name, test := range map[string]struct {
		token, node, run string
		message          *bus.Message
	}{
		"another body":       {fresh(nil), "a2", "run", &other},
		"another reply-to":   {fresh(nil), "a2", "run", &otherMessage},
		"another node":       {fresh(nil), "a3", "run", m},
		"another key":        {foreign, "a2", "run", m},
		"no signature":       {body, "a2", "run", m},
		"an empty one":       {body + ".", "a2", "run", m},
		"half of one":        {body + "." + signature[:20], "a2", "run", m},
		"no body":            {"." + signature, "a2", "run", m},
		"nothing":            {"", "a2", "run", m},
		"no base64":          {"!." + signature, "a2", "run", m},
		"too long":           {fresh(func(p *pass) { p.Key = strings.Repeat("x", maxPass) }), "a2", "run", m},
		"expired":            {fresh(func(p *pass) { p.Until = now.Add(-time.Second).UnixMilli() }), "a2", "run", m},
		"for nobody":         {fresh(func(p *pass) { p.User = "" }), "a2", "run", m},
		"without a name":     {fresh(func(p *pass) { p.ID = "" }), "a2", "run", m},
		"bound to nothing":   {fresh(func(p *pass) { p.Bound = nil }), "a2", "run", m},
		"changed on its way": {strings.Replace(fresh(nil), "e", "f", 1), "a2", "run", m},
	} {
		if p, err := s.check(test.token, test.node, test.run, test.message); !clacks.IsKind(err, clacks.Denied) || p.User != "" {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
	if p, err := s.check(fresh(nil), "a2", "run2", m); !errors.Is(err, errStale) || p.User != "" {
		t.Errorf("for another process: %+v, %v", p, err)
	}
	if _, err := s.check(fresh(nil), "a2", "run", m); err != nil {
		t.Errorf("none of them was used, and yet: %v", err)
	}
}

// Used passes are forgotten when they have expired, and when there are too many no more are taken.
func TestPassesAreBounded(t *testing.T) {
	now := time.Now()
	s := newSigner(secret, func() time.Time { return now })
	for i := range maxSeen {
		s.seen[strconv.Itoa(i)+"x"] = now.Add(time.Minute).UnixMilli()
	}
	token, m := passed(t, s, func(p *pass) { p.Until = now.Add(time.Hour).UnixMilli() })
	if _, err := s.check(token, "a2", "run", m); !clacks.IsKind(err, clacks.Denied) {
		t.Errorf("one too many: %v", err)
	}
	now = now.Add(2 * time.Minute)
	if _, err := s.check(token, "a2", "run", m); err != nil || len(s.seen) != 1 {
		t.Errorf("%v, %d are remembered", err, len(s.seen))
	}
}

func FuzzPass(f *testing.F) {
	s := newSigner(secret, time.Now)
	f.Add("a.b")
	f.Add("eyJ1c2VyIjoiamFuZSJ9.AAAA")
	f.Fuzz(func(t *testing.T, token string) {
		if p, err := s.check(token, "a2", "run", &bus.Message{}); err == nil {
			t.Errorf("a forged pass for %q", p.User)
		}
	})
}
