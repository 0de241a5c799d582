package password

import (
	"strings"
	"testing"

	"clacks"
)

func TestHashThenVerify(t *testing.T) {
	for _, scheme := range []Scheme{"", Argon2, SSHA, SSHA256, SSHA512, Crypt} {
		stored, err := Hash(scheme, "s3crét")
		if err != nil {
			t.Fatalf("%s: %v", scheme, err)
		}
		if !IsHashed(stored) || strings.Contains(stored, "s3crét") {
			t.Errorf("%s: %q is no hash", scheme, stored)
		}
		if !Verify(stored, "s3crét") || Verify(stored, "s3cret") || Verify(stored, "") {
			t.Errorf("%s: Verify is wrong", scheme)
		}
		if again, _ := Hash(scheme, "s3crét"); again == stored {
			t.Errorf("%s: there is no salt", scheme)
		}
	}
	for scheme, password := range map[Scheme]string{"ROT13": "x", SSHA: "", Argon2: strings.Repeat("a", MaxLength+1)} {
		if _, err := Hash(scheme, password); !clacks.IsKind(err, clacks.Invalid) {
			t.Errorf("Hash(%s) = %v", scheme, err)
		}
	}
}

// The hashes were made by OpenLDAP's slappasswd, openssl passwd and libcrypt.
func TestForeignHashes(t *testing.T) {
	for _, stored := range []string{
		"{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=",
		"{sha}5en6G6MezRroT3XKqkdPOmY/BfQ",
		"{MD5}Xr4ilOzQ4PCOq3aQ0qbuaQ==",
		"{SHA256}K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols=",
		"{SSHA}xFpvqogyJDiPrgQfaS3GtBeJ1a95cCGH",
		"{SMD5}Bwplpm/KQrSuHr5aUWR11YhZwvs=",
		"{CRYPT}$6$abcdefgh$ltjgWl6579NluT/Vi1nwEvcil.G5Nbc4NiXZaNGStk8PSwGfQv72N2CKPPrVACtLtip/cZ/1GM/O6IND4WQhG.",
		"{CRYPT}$5$abcdefgh$gruCpC7VkOTspMQTTSAR8mtlO9Upms.fwqE5y16JVM.",
		"{crypt}$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1",
		"{CRYPT}$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a",
		"{CRYPT}$6$rounds=1234$abcdefgh$JYy1Bl2SyLJWf33X/ypLFfV0PTI7kUcSv1KagEAuF6T.jEole3EQfDDZRy9BRYEi9Zd6aYdRKWdcJwCEXNseD1",
		"{ARGON2}$argon2i$v=19$m=4096,t=3,p=1$BrPqMnmIHLWuu9yVtdY/DQ$wWjisr+r89f4SSmWYw3NrcEGuigsF5xo8l2uqkEUxeE",
		"{SSHA512}rdAVGsdQMCUw9SGsuUYneikaoeII6YsHuJ42SeAS75a+4fWWTfKI6m1I3Pk0dN0XGKHztiJIXClzfHhbHG+D+9+s53+Jw6T2",
	} {
		if !Verify(stored, "secret") {
			t.Errorf("%s is refused", stored)
		}
		if Verify(stored, "Secret") {
			t.Errorf("%s accepts anything", stored)
		}
	}
}

func TestHostileHashes(t *testing.T) {
	for _, stored := range []string{
		"", "secret", "{", "{}", "{SSHA}", "{SSHA}!", "{SSHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "{NOPE}secret", "{CRYPT}secret", "{CRYPT}$6$",
		"{CRYPT}$6$$", "{CRYPT}$6$rounds=999999999$salt$aaaa", "{CRYPT}$6$rounds=99999999999999999999$salt$aaaa",
		"{CRYPT}$2b$31$abcdefghijklmnopqrstuuabcdefghijklmnopqrstuvwxyzabcdefghij", "{CRYPT}abJnggxhB/yWI",
		"{ARGON2}$argon2id$v=19$m=4294967295,t=2,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
		"{ARGON2}$argon2id$v=19$m=19456,t=4294967295,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
		"{ARGON2}$argon2id$v=19$m=19456,t=0,p=0$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
		"{ARGON2}$argon2id$v=19$m=19456,t=2,p=1$$", "{ARGON2}$argon2d$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
		"{SSHA}" + strings.Repeat("A", maxStored),
	} {
		if Verify(stored, "secret") {
			t.Errorf("%.60q accepts the password", stored)
		}
	}
	for s, want := range map[string]bool{
		"{SSHA}xFpvqogyJDiPrgQfaS3GtBeJ1a95cCGH": true, "{crypt}$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1": true, "{CRYPT}$y$j9T$salt$hash": true,
		"{ARGON2}$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$AAAA": true, "{x}y": false, "{SSHA}": false, "plain": false,
		"{SSHA}secret": false, "{SHA}c2VjcmV0": false, "{CRYPT}secret": false, "{CRYPT}$ecret": false, "{ARGON2}secret": false,
	} {
		if IsHashed(s) != want {
			t.Errorf("IsHashed(%q) = %v", s, !want)
		}
	}
}

func FuzzVerify(f *testing.F) {
	for _, s := range []string{
		"{SSHA}MTIzNDU2Nzg5MDEyMzQ1Njc4OTBzYWx0", "{CRYPT}$6$rounds=1000$salt$x", "{CRYPT}$1$salt$x", "{CRYPT}$5$s$h", "{MD5}x",
		"{ARGON2}$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", "{CRYPT}$2a$04$abcdefghijklmnopqrstuu",
	} {
		f.Add(s, "secret")
	}
	f.Fuzz(func(t *testing.T, stored, password string) {
		if Verify(stored, password) && !IsHashed(stored) {
			t.Fatal("a plain value was taken for a hash")
		}
	})
}
