package failpoint

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

func TestArmedPointsFailOnce(t *testing.T) {
	t.Cleanup(func() { Arm("") })
	Arm("a@2=error,b=error")
	var failed *Error
	if err := Hit("a"); err != nil {
		t.Errorf("first hit of a: %v", err)
	}
	if err := Hit("a"); !errors.As(err, &failed) || failed.Name != "a" {
		t.Errorf("second hit of a: %v", err)
	}
	if err := Hit("a"); err != nil {
		t.Errorf("third hit of a: %v", err)
	}
	if err := Hit("b"); err == nil {
		t.Error("b did not fail")
	}
	Arm("")
	if err := Hit("b"); err != nil {
		t.Errorf("disarmed: %v", err)
	}
}

func TestTrace(t *testing.T) {
	t.Cleanup(func() { Trace(false) })
	Trace(true)
	for range 3 {
		if err := Hit("here"); err != nil {
			t.Fatal(err)
		}
	}
	if n := Seen()["here"]; n != 3 {
		t.Errorf("seen %d times, not 3", n)
	}
}

func TestAPointKillsTheProcess(t *testing.T) {
	if os.Getenv(Variable) != "" {
		_ = Hit("end")
		t.Fatal("still alive")
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^TestAPointKillsTheProcess$")
	cmd.Env = append(os.Environ(), Variable+"=end")
	err := cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("the process ended with %v, not by SIGKILL", err)
	}
}
