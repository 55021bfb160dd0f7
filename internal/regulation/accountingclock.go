package regulation

import (
	"hippad"
)

// Days of 164.528(c)(1).
const (
	answerDays    = 60
	extensionDays = 30
)

// A Request is one patient's request for an accounting, and its clock (164.528(c)).
type Request struct {
	Number    int64      `json:"number"`             // index of the entry that says so
	Patient   string     `json:"patient"`            // as it was given
	Received  Date       `json:"received"`           // the day it was received: day 0
	From      Date       `json:"from,omitzero"`      // a shorter period that was asked for
	To        Date       `json:"to,omitzero"`        //
	Note      string     `json:"note,omitzero"`      //
	Extension *Extension `json:"extension,omitzero"` // there is at most one
	Answered  Date       `json:"answered,omitzero"`  // the day on which an accounting was issued
	Withdrawn Date       `json:"withdrawn,omitzero"` // the day on which the patient took it back
	Issued    int64      `json:"issued,omitzero"`    // the number of that accounting
}

// An Extension is more time, told to the patient in writing: 164.528(c)(1)(ii).
type Extension struct {
	Told    Date   `json:"told"`  // the day of the statement
	Until   Date   `json:"until"` // by when it will be answered
	Reasons string `json:"reasons"`
}

// Due returns the last day on which to answer: 60 days after the request was received, or what the extension says.
func (r Request) Due() Date {
	if r.Extension != nil {
		return r.Extension.Until
	}
	return r.Received.AddDays(answerDays)
}

// Check tells whether a request can be one. Kind Invalid if not.
func (r Request) Check(today Date) error {
	if r.Received.IsZero() || r.Received.Before(complianceDay) || r.Received.After(today) {
		return hippad.Errorf(hippad.Invalid, "the day on which the request was received cannot be")
	}
	_, _, err := Question{Requested: r.Received, From: r.From, To: r.To, Today: today}.Window()
	return err
}

// Extend tells whether the time to answer a request can be extended so. Kind Invalid, or Conflict if it was already.
func (r Request) Extend(x Extension, today Date) error {
	last := r.Received.AddDays(answerDays)
	most := last.AddDays(extensionDays)
	switch {
	case !r.Answered.IsZero() || !r.Withdrawn.IsZero():
		return hippad.Errorf(hippad.Conflict, "the request is closed")
	case r.Extension != nil:
		return hippad.Errorf(hippad.Conflict, "the time is extended already: there is one extension (164.528(c)(1)(ii)(B))")
	case x.Told.IsZero() || x.Told.Before(r.Received) || x.Told.After(today):
		return hippad.Errorf(hippad.Invalid, "the day of the statement to the patient cannot be")
	case x.Told.After(last):
		return hippad.Errorf(hippad.Invalid, "the patient had to be told by %v, within the 60 days (164.528(c)(1)(ii)(A))", last)
	case !x.Until.After(last) || x.Until.After(most):
		return hippad.Errorf(hippad.Invalid, "an extension is of at most 30 days: until %v (164.528(c)(1)(ii))", most)
	case x.Reasons == "":
		return hippad.Errorf(hippad.Invalid, "the reasons of the delay are missing (164.528(c)(1)(ii)(A))")
	}
	return nil
}

// Free tells whether a request's accounting is free of charge: none was provided in the twelve months before it (164.528(c)(2)). provided are the days on
// which that patient's accountings were.
func Free(received Date, provided []Date) bool {
	year := received.YearsBefore(1)
	for _, d := range provided {
		if d.After(year) && !d.After(received) {
			return false
		}
	}
	return true
}

// Issued tells of an accounting that was given to a patient, and is kept as it was given: 164.528(d)(2), six years by 164.530(j)(2), here without an end.
type Issued struct {
	Number  int64   `json:"number"`  // index of the entry that says so
	Patient string  `json:"patient"` // as it was asked for
	Request int64   `json:"request,omitzero"`
	On      Date    `json:"on"`
	By      string  `json:"by"` // who issued it: 164.528(d)(3)
	From    Date    `json:"from"`
	To      Date    `json:"to"`
	Rows    int     `json:"rows"`
	Free    bool    `json:"free"`   // of charge: 164.528(c)(2)
	Parts   []int64 `json:"parts"`  // the entries that hold it, in order
	Digest  string  `json:"digest"` // SHA-256 of what they hold, in hex
}
