package commands

import (
	"context"

	"clacks"
	"clacks/rpc"
)

func (s *service) session() []rpc.Command {
	return []rpc.Command{
		rpc.New(rpc.Spec{Name: "login", Public: true, Help: "Logs in with a name and a password; the state 100 means success."}, s.login),
		rpc.New(rpc.Spec{Name: "logout", Public: true, Help: "Ends the session."}, s.logout),
		rpc.New(rpc.Spec{Name: "getSessionUser", Help: "The name of the user who is logged in."}, s.sessionUser),
		rpc.New(rpc.Spec{Name: "getBase", Help: "The DN below which all objects are."}, s.base),
		rpc.New(rpc.Spec{Name: "getError", Help: "What is known of an error that this session got."}, s.getError),
		rpc.New(rpc.Spec{Name: "getNoLoginMethods", Public: true, Help: "The commands that may be called without being logged in."}, s.noLogin),
		rpc.New(rpc.Spec{Name: "getAllowedMethods", Help: "The commands that the user may call."}, s.allowed),
	}
}

type loginParams struct {
	UID      string `json:"uid" required:"true" doc:"the name"`
	Password string `json:"password" required:"true" doc:"the password"`
	Token    bool   `json:"token" doc:"answer a token for the header Authorization: Bearer, for clients without cookies"`
}

// loginAnswer adds the token for those who asked for it.
type loginAnswer struct {
	rpc.Login
	Token string `json:"token,omitempty"`
}

// LoginOutcome lets a door see how the login went.
func (a loginAnswer) LoginOutcome() rpc.Login { return a.Login }

func (s *service) login(ctx context.Context, call *rpc.Call, p loginParams) (loginAnswer, error) {
	if call.Session == nil {
		return loginAnswer{}, clacks.E(clacks.Invalid, "commands.login", "there are no sessions here")
	}
	login, err := call.Session.Login(ctx, p.UID, p.Password)
	answer := loginAnswer{Login: login}
	if p.Token {
		answer.Token = login.Token
	}
	return answer, err
}

func (s *service) logout(ctx context.Context, call *rpc.Call, _ rpc.None) (bool, error) {
	if call.Session == nil {
		return true, nil
	}
	return true, call.Session.Logout(ctx)
}

func (s *service) sessionUser(_ context.Context, call *rpc.Call, _ rpc.None) (string, error) {
	return call.User.ID, nil
}

func (s *service) base(context.Context, *rpc.Call, rpc.None) (string, error) { return s.Base, nil }

type errorParams struct {
	ID     string `json:"_id" required:"true" doc:"the id that the error's message begins with"`
	Locale string `json:"locale" doc:"a language; only English is known"`
	Trace  bool   `json:"trace" doc:"ignored: where in the service an error arose is only in its log"`
	Keep   bool   `json:"keep" doc:"ignored: errors stay until newer ones take their place"`
}

func (s *service) getError(_ context.Context, call *rpc.Call, p errorParams) (*rpc.StoredError, error) {
	if call.Errors == nil {
		return nil, nil
	}
	return call.Errors.Get(p.ID), nil
}

func (s *service) noLogin(context.Context, *rpc.Call, rpc.None) ([]string, error) {
	names := []string{}
	for _, name := range s.registry.Names() {
		if c, ok := s.registry.Lookup(name); ok && c.Public {
			names = append(names, name)
		}
	}
	return names, nil
}

func (s *service) allowed(_ context.Context, call *rpc.Call, _ rpc.None) ([]string, error) {
	names := []string{}
	for _, name := range s.registry.Names() {
		if c, ok := s.registry.Lookup(name); ok && s.registry.Allowed(call.User, c) {
			names = append(names, name)
		}
	}
	return names, nil
}
