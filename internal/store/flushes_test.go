package store_test

import (
	"testing"

	"clacks"
	"clacks/internal/store"
	"clacks/internal/testservers"
)

// TestCommitBehind: the commit that begins next lets this one return, and so does none.
func TestCommitBehind(t *testing.T) {
	db := open(t, testservers.SharedPostgres(t).NewDatabase(t))
	opened := func(id int64) *store.Tx {
		t.Helper()
		tx, refused, err := db.ExecAndBegin(t.Context(), list(insert(id, nil, 1)), list(insert(id+1, nil, 1)), nil)
		if refused != nil || err != nil {
			t.Fatal(refused, err)
		}
		return tx
	}
	tx := opened(1)
	called := 0
	if _, err := tx.CommitBehind(t.Context(), func() { called++ }, insert(3, nil, 1)); err != nil || called != 1 {
		t.Fatalf("alone: %v, called %d times", err, called)
	}
	tx = opened(11)
	var other *store.Tx
	results, err := tx.CommitBehind(t.Context(), func() { wantIDs(t, db, 1, 2, 3, 11, 12, 13); other = opened(21) }, insert(13, nil, 1))
	if err != nil || len(results) != 1 || results[0].Rows != 1 {
		t.Fatalf("before another: %v, %v", results, err)
	}
	other.Rollback()
	wantIDs(t, db, 1, 2, 3, 11, 12, 13, 21)

	tx = opened(31)
	if _, err := tx.CommitBehind(t.Context(), func() { t.Error("called after a refusal") }, insert(1, nil, 1)); err == nil {
		t.Error("a taken key is not refused")
	}
	wantIDs(t, db, 1, 2, 3, 11, 12, 13, 21, 31)
}

// TestCommitBehindLost: whether it is on disk is in doubt when nobody says so.
func TestCommitBehindLost(t *testing.T) {
	server := testservers.Postgres(t, testservers.WithSetting("fsync", "off"))
	db := open(t, server.URL)
	tx, refused, err := db.ExecAndBegin(t.Context(), list(insert(1, nil, 1)), nil, nil)
	if refused != nil || err != nil {
		t.Fatal(refused, err)
	}
	_, err = tx.CommitBehind(t.Context(), func() {
		if err := server.Kill(); err != nil {
			t.Error(err)
		}
	}, insert(2, nil, 1))
	if !clacks.IsKind(err, clacks.InDoubt) {
		t.Errorf("%v", err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
}

// TestCommitBehindOnSQLite: nothing is in the way of the next one.
func TestCommitBehindOnSQLite(t *testing.T) {
	db := open(t, "sqlite:"+t.TempDir()+"/t.db")
	tx, err := db.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.CommitBehind(t.Context(), func() { t.Error("called") }, insert(1, nil, 1)); err != nil {
		t.Error(err)
	}
	wantIDs(t, db, 1)
}
