package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"clacks"
	"clacks/access"
	"clacks/objects"
)

// The people of the demonstration: every given name with every surname would be many, so they are paired.
var (
	demoGiven = strings.Fields(`Ada Alan Barbara Charles Dennis Donald Edsger Frances Grace Hedy Ivan Jean John Kathleen
		Ken Konrad Leslie Lois Margaret Maurice Niklaus Radia Robin Sophie Tim`)
	demoSurnames = strings.Fields(`Lovelace Turing Liskov Babbage Ritchie Knuth Dijkstra Allen Hopper Lamarr Sutherland Bartik
		Backus Booth Thompson Zuse Lamport Haibt Hamilton Wilkes Wirth Perlman Milner Wilson Berners-Lee`)
	demoTeams = []string{"engine", "compilers", "networks", "proofs"}
)

// demo seeds people and groups, once, and prints what to try. It is a client of the object service like any other.
func (a *app) demo(ctx context.Context, env environment, address string) {
	if err := a.seed(ctx); err != nil {
		a.log.Error("the demonstration data could not be made", "error", err)
		return
	}
	login := ""
	if a.adminAt != "" {
		login = " --password-file " + a.adminAt
	}
	try := fmt.Sprintf("%s %%s --url %s%s", os.Args[0], address, login)
	_, _ = fmt.Fprintf(env.stdout, "\nTry these in another shell (the first one waits for what the third does):\n\n"+
		"  "+try+" --xquery 'Event/ObjectChanged/Attributes/Attribute[@name = \"sn\"]'\n"+
		"  "+try+" searchObjects type=User filter:='{\"sn\":\"L*\"}' attributes:='[\"cn\",\"mail\"]'\n"+
		"  "+try+" updateObject id='cn=Ada Lovelace,ou=people,%s' changes:='{\"sn\":\"King\"}'\n\n",
		"events watch", "call", "call", a.config.Base)
}

// seed makes the demonstration's objects, unless the first of them is there.
func (a *app) seed(ctx context.Context) error {
	admin := access.User{ID: a.config.Admin.User, Admin: true}
	people, err := a.make(ctx, admin, "PeopleContainer", a.config.Base, nil)
	if clacks.IsKind(err, clacks.NotUnique) {
		return nil
	}
	if err != nil {
		return err
	}
	groups, err := a.make(ctx, admin, "GroupContainer", a.config.Base, nil)
	if err != nil {
		return err
	}
	teams := make([][]any, len(demoTeams))
	for i := range 2 * len(demoGiven) {
		dn, err := a.make(ctx, admin, "User", people, a.demoPerson(i))
		if err != nil {
			return err
		}
		teams[i%len(teams)] = append(teams[i%len(teams)], dn)
	}
	for i, team := range demoTeams {
		_, err := a.make(ctx, admin, "GroupOfNames", groups, map[string]any{"cn": team, "member": teams[i]})
		if err != nil {
			return err
		}
	}
	return nil
}

// demoPerson makes the attributes of the i-th person; the second round pairs the names differently.
func (a *app) demoPerson(i int) map[string]any {
	given := demoGiven[i%len(demoGiven)]
	surname := demoSurnames[(i+7*(i/len(demoGiven)))%len(demoSurnames)]
	uid := strings.ToLower(given[:1] + strings.ReplaceAll(surname, "-", ""))
	if i >= len(demoGiven) {
		uid += "2"
	}
	person := map[string]any{
		"uid": uid, "cn": given + " " + surname, "givenName": given, "sn": surname,
		"mail": []any{uid + "@example.net"}, "telephoneNumber": []any{fmt.Sprintf("+49 2932 9160 %03d", i+1)},
	}
	user := a.objects.Mappings().Definitions().Type("User")
	if user.Attribute("badgeNumber") != nil {
		person["badgeNumber"] = fmt.Sprintf("B-%04d", 1800+i)
		person["costCenter"] = int64(4700 + i%5)
	}
	return person
}

func (a *app) make(ctx context.Context, user access.User, typeName, base string, attributes map[string]any) (string, error) {
	result, err := a.objects.Create(ctx, user, objects.CreateRequest{Type: typeName, Base: base, Attributes: attributes})
	if err != nil {
		return "", err
	}
	return result.DN, nil
}
