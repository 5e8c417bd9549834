package schema

import "testing"

type identityRow struct {
	row
	wireIdentity
	Producer string `json:"producer"`
	MsgID    string `json:"msg_id"`
	Epoch    string `json:"epoch"`
	Sequence uint64 `json:"sequence"`
}

// wireIdentity is how vectors write an Identity.
type wireIdentity struct {
	Source   string `json:"source"`
	Number   uint64 `json:"number"`
	Numbered bool   `json:"numbered"`
}

func checkIdentity(t *testing.T, got Identity, want wireIdentity) {
	t.Helper()
	if got := (wireIdentity{got.Source, got.Number, got.Numbered()}); got != want {
		t.Errorf("the identity is %+v; want %+v", got, want)
	}
}

func TestIdentityOf(t *testing.T) {
	for _, v := range load[identityRow](t, "identities.json") {
		t.Run(v.Name, func(t *testing.T) {
			got := IdentityOf(v.Producer, v.MsgID, v.Epoch, v.Sequence)
			checkIdentity(t, got, v.wireIdentity)
			if again := IdentityOf(v.Producer, v.MsgID, v.Epoch+"x", v.Sequence+1); v.MsgID != "" && again != got {
				t.Errorf("stored again it is %+v; it was %+v", again, got)
			}
			if v.Numbered && MessageID(v.Producer, v.Number) != v.MsgID {
				t.Errorf("written as %q; want %q", MessageID(v.Producer, v.Number), v.MsgID)
			}
		})
	}
}

// TestMaxNumber holds MaxNumber to what IdentityOf takes, which is what a signed column of a database holds.
func TestMaxNumber(t *testing.T) {
	if id := IdentityOf("me", MessageID("me", MaxNumber), "epoch", 1); !id.Numbered() || id.Number != MaxNumber {
		t.Errorf("MaxNumber is read as %+v", id)
	}
	if id := IdentityOf("me", MessageID("me", MaxNumber+1), "epoch", 1); id.Numbered() {
		t.Errorf("MaxNumber + 1 is read as %+v", id)
	}
}
