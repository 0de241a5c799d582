package nearest

import "testing"

func TestName(t *testing.T) {
	known := []string{"givenName", "sn", "telephoneNumber", "mail"}
	for name, want := range map[string]string{
		"givenname":               "givenName",
		"givnName":                "givenName",
		"telefoneNumber":          "telephoneNumber",
		"mial":                    "mail",
		"completelyDifferentName": "",
		"":                        "",
		"x":                       "",
	} {
		if got := Name(name, known); got != want {
			t.Errorf("Name(%q) = %q, want %q", name, got, want)
		}
	}
	if got := Hint("malk", known); got != `did you mean "mail"?` {
		t.Errorf("Hint = %q", got)
	}
}
