package atna

import (
	"strings"

	"hippad"
)

const rootIHEYr4 = "IHEYr4"

// systemIHEYr4 is the system of the codes made from IHEYr4 element names, which are the event types of that schema.
const systemIHEYr4 = "IHEYr4"

// readIHEYr4 reads the rest of a message in the provisional schema of IHE Basic Security (2002 to 2004), which old archives and
// modalities still send:
//
//	<IHEYr4><PatientRecord><ObjectAction>Modify</ObjectAction><Patient><PatientID>..</PatientID>..</Patient>
//	<User><LocalUser>..</LocalUser></User></PatientRecord><Host>..</Host><TimeStamp>..</TimeStamp></IHEYr4>
func (r *reader) readIHEYr4() {
	patient, node := -1, -1 // the entity and the agent that the innermost Patient and RemoteNode describe
	for {
		switch r.next() {
		case tokenStart:
			r.chunks = r.chunks[:0]
			switch {
			case r.depth == 2 && r.ev.Type.Code == "" && r.name != "Host" && r.name != "TimeStamp":
				r.ev.Type = hippad.Code{System: systemIHEYr4, Code: r.name}
			case r.name == "Patient" && len(r.ev.Entities) < maxParticipants:
				r.ev.Entities = append(r.ev.Entities, hippad.Entity{Type: hippad.Code{Code: "1"}, Role: hippad.Code{Code: "1"}})
				patient = len(r.ev.Entities) - 1
			case r.name == "RemoteNode" && len(r.ev.Agents) < maxParticipants:
				r.ev.Agents = append(r.ev.Agents, hippad.Agent{})
				node = len(r.ev.Agents) - 1
			}
		case tokenText:
			text := r.text
			if !r.raw {
				text = decode(text, false)
			}
			r.chunks = append(r.chunks, text)
		case tokenEnd:
			name := localName(r.open[r.depth])
			text := strings.TrimSpace(strings.Join(r.chunks, ""))
			r.chunks = r.chunks[:0]
			switch {
			case name == "Patient":
				patient = -1
			case name == "RemoteNode":
				node = -1
			case text == "":
			case patient >= 0 && name == "PatientID":
				r.ev.Entities[patient].What.Identifier = hippad.ParseIdentifier(text)
			case patient >= 0 && name == "PatientName":
				r.ev.Entities[patient].Name = text
			case node >= 0:
				nodeIHEYr4(&r.ev.Agents[node], name, text)
			default:
				r.valueIHEYr4(name, text)
			}
		case tokenDone:
			return
		}
	}
}

func nodeIHEYr4(a *hippad.Agent, name, text string) {
	switch name {
	case "IP":
		a.Address, a.AddressType = text, "2"
	case "Hname":
		if a.Address == "" {
			a.Address, a.AddressType = text, "1"
		}
	case "AET":
		a.Who.Identifier.Value = text
	}
}

func (r *reader) valueIHEYr4(name, text string) {
	switch name {
	case "Host":
		r.ev.Source.Observer.Identifier.Value = text
	case "TimeStamp":
		r.ev.Recorded = parseTime(text)
	case "LocalUser", "LocalUsername":
		if len(r.ev.Agents) < maxParticipants {
			r.ev.Agents = append(r.ev.Agents, hippad.Agent{Who: hippad.Reference{Identifier: participantID(text)}, Requestor: true})
		}
	case "SUID": // Study Instance UID
		if len(r.ev.Entities) < maxParticipants {
			r.ev.Entities = append(r.ev.Entities, hippad.Entity{
				What: hippad.Reference{Identifier: hippad.Identifier{Value: text}},
				Type: hippad.Code{Code: "2"}, Role: hippad.Code{Code: "3"}})
		}
	case "ObjectAction", "ApplicationAction", "Action", "Usage":
		r.ev.Subtypes = append(r.ev.Subtypes, hippad.Code{System: systemIHEYr4, Code: text})
		switch text {
		case "Create":
			r.ev.Action = "C"
		case "Access":
			r.ev.Action = "R"
		case "Modify":
			r.ev.Action = "U"
		case "Delete":
			r.ev.Action = "D"
		}
	}
}
