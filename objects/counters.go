package objects

import "sync/atomic"

// counters count what an operator wants to know of; they only grow.
type counters struct {
	faults    atomic.Int64 // backend values that did not fit their attribute
	doubts    atomic.Int64 // changes of which a backend did not say what became of them
	undone    atomic.Int64 // commits that were taken back
	recovered atomic.Int64 // operations that recovery ended
	parked    atomic.Int64 // operations left for a person
}

// Statistics are numbers for metrics. All but Open and Sessions only grow.
type Statistics struct {
	Faults    int64 // backend values that did not fit their attribute and were left out
	Doubts    int64 // changes of which a backend did not say at once what became of them
	Undone    int64 // commits that were taken back after a part of them was done
	Recovered int64 // operations that recovery brought to an end
	Parked    int64 // operations left for a person: others had written what they touch
	Open      int   // operations whose outcome is not known at this moment
	Sessions  int   // open objects
}

// Statistics are the service's numbers of now.
func (s *Service) Statistics() Statistics {
	return Statistics{
		Faults: s.counters.faults.Load(), Doubts: s.counters.doubts.Load(), Undone: s.counters.undone.Load(),
		Recovered: s.counters.recovered.Load(), Parked: s.counters.parked.Load(),
		Open: s.doubts.count(), Sessions: s.sessions.count(),
	}
}
