package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"clacks"
	"clacks/rpc/httpd"
)

// notReady notes why the service cannot start yet: all of it in the log, a sentence for strangers in /readyz.
func (a *app) notReady(component string, err error) {
	a.log.Warn("not ready", "component", component, "error", err)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.reason = httpd.Reason{Component: component, Reason: reasonText(component, err)}
}

// reasonText is what strangers may read of an error, since /readyz is open to everybody: no addresses, names or files.
func reasonText(component string, err error) string {
	if component == objectService {
		return "it is not ready yet; the log says why"
	}
	switch clacks.KindOf(err) {
	case clacks.Unavailable, clacks.InDoubt, clacks.Limit:
		return "it does not answer"
	case clacks.Unauthenticated, clacks.Denied:
		return "it refuses access to the service"
	}
	return "it cannot be used; the log says why"
}

// objectService is the component that stands on all others.
const objectService = "objects"

// reasons are why the service is not ready now; a server that went away later counts as well. What they stand for is in
// the log, once for each change.
func (a *app) reasons(ctx context.Context) []httpd.Reason {
	if !a.prepared.Load() {
		a.mu.Lock()
		defer a.mu.Unlock()
		return []httpd.Reason{a.reason}
	}
	faults := a.faults(ctx)
	list := make([]httpd.Reason, len(faults))
	for i, f := range faults {
		list[i] = httpd.Reason{Component: f.component, Reason: reasonText(f.component, f.err)}
	}
	a.tell(list, faults)
	return list
}

// fault is why a part of the service does not work.
type fault struct {
	component string
	err       error
}

// faults asks every part at the same time, so that none is late because of another. The object service stands on the
// others: it is named only when all of them work.
func (a *app) faults(ctx context.Context) []fault {
	ask := map[string]func() error{"state": func() error { return a.state.Ping(ctx) }}
	if a.bus != nil {
		ask["bus"] = a.bus.ready
	}
	for name, b := range a.backends {
		ask["backend "+name] = func() error { return b.Ping(ctx) }
	}
	var mu sync.Mutex
	var list []fault
	var asked sync.WaitGroup
	for component, ping := range ask {
		asked.Go(func() {
			if err := ping(); err != nil {
				mu.Lock()
				defer mu.Unlock()
				list = append(list, fault{component, err})
			}
		})
	}
	objects := a.objects.Ready()
	asked.Wait()
	if len(list) == 0 && objects != nil {
		list = append(list, fault{objectService, objects})
	}
	slices.SortFunc(list, func(a, b fault) int { return strings.Compare(a.component, b.component) })
	return list
}

// tell logs the faults when others fail than the last time, or for another reason.
func (a *app) tell(reasons []httpd.Reason, faults []fault) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := ""
	if len(reasons) > 0 {
		now = fmt.Sprint(reasons)
	}
	if now == a.told {
		return
	}
	a.told = now
	for _, f := range faults {
		a.log.Warn("not ready", "component", f.component, "error", f.err)
	}
	if len(faults) == 0 {
		a.log.Info("ready again")
	}
}
