package main

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"hippad"
	"hippad/internal/front"
	"hippad/internal/identity"
	"hippad/internal/repository"
	"hippad/internal/seal"
)

// What the server does beside its doors: it records what happens to itself, and ends what is no longer admitted.

// renewEvery is how often certificates are looked at: those that are near their end are issued anew, and connections of those
// that have ended are closed.
const renewEvery = time.Hour

// recordEvery is how often a start is tried to be recorded that could not be.
const recordEvery = time.Second

// configured records a change of the configuration. Whoever makes one calls it first, and makes none if it fails.
func (s *server) configured(ctx context.Context, c hippad.Caller, activity repository.Activity, what string) error {
	subtype := repository.SecurityConfiguration
	switch activity {
	case repository.ActivityMember:
		subtype = repository.SecurityRolesChanged
	case repository.ActivityAccount:
		subtype = repository.UserSecurityAttributeChanged
	}
	n := repository.SecurityAlert(subtype, what)
	n.Outcome = repository.Success
	n.Subtypes = append(n.Subtypes, activity.Code())
	return s.repo.Note(ctx, c, n)
}

// turnedAway is told by the front of everybody who is not let in.
func (s *server) turnedAway(from net.Addr, label front.Label, err error) {
	reason := "" // what else a handshake failed of is in hippad traffic
	if refusal := identity.RefusalOf(err); refusal != nil {
		reason = refusal.Error()
	}
	s.repo.Alert(from, string(label), reason)
}

// evict closes the connections of those who are no longer admitted.
func (s *server) evict() {
	if s.front != nil {
		if n := s.front.Evict(s.authority.Current); n > 0 {
			s.log.Info("closed connections of principals that are no longer admitted", "connections", n)
		}
	}
}

// started records that the server runs, with the keys that it has opened and made for it. When the store takes nothing now, a full
// disk for one, the server runs all the same, takes no reports and answers no questions; proofs are served, and watch
// records the start when it can.
func (s *server) started(ctx context.Context) error {
	err := s.recordStart(ctx)
	if hippad.KindOf(err) == hippad.Unavailable {
		s.unrecorded = true
		s.log.Error("the start cannot be recorded now; it is tried again", "error", err)
		return nil
	}
	return err
}

func (s *server) recordStart(ctx context.Context) error {
	now := s.config.now()
	for _, class := range []string{"", "self"} {
		e := hippad.Entry{Door: hippad.DoorNative}
		if class == "self" {
			e.Door = hippad.DoorSelf
		}
		if _, _, err := s.keys.SealKey(now, s.classes.Classify(e, hippad.Event{})); err != nil {
			return err
		}
	}
	uses := append([]seal.KeyUse{s.keys.Opened}, s.keys.Created()...)
	var words []string
	for _, u := range uses {
		words = append(words, describeUse(u))
	}
	n := repository.ApplicationActivity(true)
	n.Description = "started; " + strings.Join(words, "; ")
	if err := s.repo.Note(ctx, s.itself(), n); err != nil {
		return err
	}
	return s.usesRecorded(uses)
}

// itself is the server as the one who does something.
func (s *server) itself() hippad.Caller { return hippad.Caller{Principal: s.repo.Self} }

func describeUse(u seal.KeyUse) string {
	if u.KeyID == 0 {
		return fmt.Sprintf("ring of keys %s with %s", u.What, u.Master)
	}
	return fmt.Sprintf("data key %d of %s, class %s, %s", u.KeyID, u.Month, u.Class, u.What)
}

func (s *server) usesRecorded(uses []seal.KeyUse) error {
	last := uint32(0)
	for _, u := range uses {
		last = max(last, u.KeyID)
	}
	if last == 0 {
		return nil
	}
	return s.keys.Recorded(last)
}

// watch runs what goes on beside the doors, until ctx ends.
func (s *server) watch(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { s.watchStart(ctx) })
	wg.Go(func() { s.watchKeys(ctx) })
	wg.Go(func() { s.watchCertificates(ctx) })
	wg.Go(func() { s.sources.Run(ctx) })
	wg.Go(func() {
		if err := s.custody.Resume(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("a purge that was interrupted is not finished", "error", err)
		}
	})
	wg.Wait()
}

// watchStart records the start when the store takes entries again.
func (s *server) watchStart(ctx context.Context) {
	tick := time.NewTicker(recordEvery)
	defer tick.Stop()
	for s.unrecorded {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s.unrecorded = s.recordStart(ctx) != nil
	}
}

// watchKeys records the making of data keys: at the turn of a month, or when the first entry of a class comes. A key is made
// while its first entry is being sealed, where nothing can be recorded; the list of what is not recorded is in the ring,
// so that a crash loses nothing of it.
func (s *server) watchKeys(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.keys.CreatedC():
		}
		uses := s.keys.Created()
		for _, u := range uses {
			n := repository.SecurityAlert(repository.SecurityConfiguration, describeUse(u))
			n.Subtypes = append(n.Subtypes, repository.ActivityKey.Code())
			if err := s.repo.Note(ctx, s.itself(), n); err != nil {
				s.log.Error("record the making of a data key", "error", err)
				return // the next start records it
			}
		}
		if err := s.usesRecorded(uses); err != nil {
			s.log.Error("record the making of a data key", "error", err)
		}
	}
}

// watchCertificates renews the server's own certificates, and ends connections whose time is over.
func (s *server) watchCertificates(ctx context.Context) {
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	for {
		for _, warning := range s.authority.Warnings() {
			s.log.Warn("certificates", "warning", warning)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := s.authority.Renew(s.config.now()); err != nil {
			s.log.Error("renew certificates", "error", err)
		}
		s.evict()
	}
}
