package identity

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"net"
	"strings"

	"hippad"
)

// Token names the holder of a bearer token of IssueToken (what stands behind "Bearer " in RFC 6750 section 2.1). Kind
// Unauthorised for a token that is wrong, revoked or has ended, the same for all of them, after a pause; kind Busy, with
// nothing looked at, after too many of those from the same network.
//
// Failures are counted by network and not by token: the id of a token is no secret, and somebody who shouts wrong secrets
// for it must not lock its owner out. For the same reason a token that is right is let in even while its network, perhaps
// that of a gateway in front of many, is locked: 256 random bits need no such protection.
func (a *Authority) Token(ctx context.Context, bearer string, from net.Addr) (hippad.Caller, error) {
	if m := a.holder(bearer); m != nil {
		return m.caller(hippad.Principal{Kind: hippad.KindToken, ID: m.ID}), nil
	}
	key := "token:" + NetworkOf(from)
	if _, err := a.options.Throttle.Check(key); err != nil {
		return hippad.Caller{}, err
	}
	a.options.Throttle.Failed(key)
	a.options.Throttle.Pause(ctx)
	return hippad.Caller{}, hippad.Errorf(hippad.Unauthorised, "this bearer token is not good, or not any more")
}

// holder finds whose a bearer token is; nil if it is not good. An id that is not there takes the same time.
func (a *Authority) holder(bearer string) *record {
	text, ok := strings.CutPrefix(bearer, tokenPrefix)
	id, secret, found := strings.Cut(text, ".")
	raw, err := base64.RawURLEncoding.Strict().DecodeString(secret)
	if !ok || !found || err != nil || len(raw) != 32 || strings.ContainsAny(secret, "\r\n") {
		return nil
	}
	m := a.register.Load().members[id]
	want := make([]byte, 32) // the hash of nothing that anybody can find
	if m != nil && m.Kind == KindToken {
		want = m.Secret
	}
	if subtle.ConstantTimeCompare(hash(raw), want) != 1 || !a.Current(hippad.Principal{Kind: hippad.KindToken, ID: id}) {
		return nil
	}
	return m
}
