package repository

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"hippad"
)

// checkSites looks for reports in the name of a site that is not the caller's. Where the door acknowledges, one of them has
// the whole frame refused, after an entry about it is durable. Where it does not, they are marked and kept: nothing that was
// sent is lost, and who looks at the entry sees that its source is only claimed.
func (s *session) checkSites(ctx context.Context, entries []hippad.Entry) error {
	if len(s.who.Sites) == 0 {
		return nil
	}
	for i := range entries {
		e := &entries[i]
		if !foreign(s.repository.Read(e.Report).Source, s.who.Sites) {
			continue
		}
		if s.door.Acknowledges() {
			n := SecurityAlert(RestrictedFunction, fmt.Sprintf("report %d of %d names a source in whose name its reporter may not speak: all were refused", i, len(entries)))
			if err := s.repository.Note(ctx, s.who, n); err != nil {
				return err
			}
			return hippad.Errorf(hippad.Unauthorised, "report %d of the frame names a source in whose name this principal may not report", i).
				WithHint("its sites are in the register of members: hippad member list")
		}
		// The mark that the door may have given says less.
		e.Fault = hippad.Foreign
		s.repository.alert(s.who.Principal, labelForeign, "a report names a source in whose name its reporter may not speak: kept and marked")
	}
	return nil
}

// foreign tells whether a source states, as AuditSourceID or as AuditEnterpriseSiteID, something that is not one of the sites.
// What is not stated is not compared.
func foreign(from hippad.Source, sites []string) bool {
	if site := strings.TrimSpace(from.Site); site != "" && !slices.Contains(sites, site) {
		return true
	}
	if from.Observer.IsZero() {
		return false
	}
	id := from.Observer.Identifier
	names := []string{from.Observer.Literal, id.Value, hippad.OIDSystem(id.System) + "|" + id.Value}
	if id.IsZero() && from.Observer.Literal == "" {
		names = []string{from.Observer.Display} // it claims a name and nothing else
	}
	return !slices.ContainsFunc(names, func(n string) bool { return n != "" && slices.Contains(sites, strings.TrimSpace(n)) })
}
