// Package wire speaks hippad/1, the native protocol of port 2988, at both ends: Server answers one connection with a
// hippad.Session, and Client is a hippad.Session that is far away. The specification is docs/protocol.md and the test
// vectors are in vectors/wire; the code follows the specification and not the other way round.
//
// It owns framing, encoding, windows, the handling of BUSY, and deadlines. It does not own listening, TLS or who is on
// the other end (the front does), what is stored (the session does), nor the reports that have no answer yet when a
// connection ends (the reporter does: see package spool).
//
// The invariant: every REPORT frame that a server reads gets exactly one answer, in the order of the frames, and that
// answer is ACK only if the session said that the frame is durable. What an attacker sends costs bounded memory and
// time.
package wire
