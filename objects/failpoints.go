package objects

// FailPoints are the names of all points at which a test may end the process (package failpoint), in the order of the
// package comment. Points of step 4 are hit once for each change, those of recovery once for each operation.
var FailPoints = []string{
	"commit/before-prepare", "commit/after-prepare",
	"commit/before-check", "commit/after-check",
	"commit/before-apply", "commit/after-apply",
	"commit/before-commit", "commit/after-commit",
	"undo/before-step", "undo/before-restore", "undo/after-step",
	"abort/before-end", "abort/after-end",
	"recover/before-claim", "recover/after-claim",
	"recover/before-survey", "recover/after-survey",
	"recover/before-apply", "recover/after-apply",
	"recover/before-commit", "recover/after-commit",
	"recover/before-end", "recover/after-end",
	"index/before-batch", "index/after-batch",
}
