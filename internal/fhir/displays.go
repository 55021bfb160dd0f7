package fhir

import (
	"strings"
	"sync"

	"hippad"
)

const (
	systemInteraction = "http://hl7.org/fhir/restful-interaction"
	systemRecordEvent = "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle"
	systemSecurity    = "http://terminology.hl7.org/CodeSystem/extra-security-role-type"
	systemSeverity    = "http://hl7.org/fhir/issue-severity"
)

// conceptLists are the code systems whose own words for their codes the writers use: "code display", one a line. What a
// sender calls the code instead may contradict the code system, which validators take for an error.
var conceptLists = map[string]string{
	hippad.SystemEventType: `rest RESTful Operation`,
	hippad.SystemEntityType: `1 Person
2 System Object
3 Organization
4 Other`,
	hippad.SystemObjectRole: `1 Patient
2 Location
3 Report
4 Domain Resource
5 Master file
6 User
7 List
8 Doctor
9 Subscriber
10 Guarantor
11 Security User Entity
12 Security User Group
13 Security Resource
14 Security Granularity Definition
15 Practitioner
16 Data Destination
17 Data Repository
18 Schedule
19 Customer
20 Job
21 Job Stream
22 Table
23 Routing Criteria
24 Query`,
	hippad.SystemLifecycle: `1 Origination / Creation
2 Import / Copy
3 Amendment
4 Verification
5 Translation
6 Access / Use
7 De-identification
8 Aggregation / summarization / derivation
9 Report
10 Export
11 Disclosure
12 Receipt of disclosure
13 Archiving
14 Logical deletion
15 Permanent erasure / Physical destruction`,
	hippad.SystemSourceType: `1 User Device
2 Data Interface
3 Web Server
4 Application Server
5 Database Server
6 Security Server
7 Network Device
8 Network Router
9 Other`,
	// DICOM PS3.16 CID 400 to 405, annex D.
	hippad.SystemDCM: `110100 Application Activity
110101 Audit Log Used
110102 Begin Transferring DICOM Instances
110103 DICOM Instances Accessed
110104 DICOM Instances Transferred
110105 DICOM Study Deleted
110106 Export
110107 Import
110108 Network Entry
110109 Order Record
110110 Patient Record
110111 Procedure Record
110112 Query
110113 Security Alert
110114 User Authentication
110120 Application Start
110121 Application Stop
110122 Login
110123 Logout
110124 Attach
110125 Detach
110126 Node Authentication
110127 Emergency Override Started
110128 Network Configuration
110129 Security Configuration
110130 Hardware Configuration
110131 Software Configuration
110132 Use of Restricted Function
110133 Audit Recording Stopped
110134 Audit Recording Started
110135 Object Security Attributes Changed
110136 Security Roles Changed
110137 User security Attributes Changed
110138 Emergency Override Stopped
110139 Remote Service Operation Started
110140 Remote Service Operation Stopped
110141 Local Service Operation Started
110142 Local Service Operation Stopped
110150 Application
110151 Application Launcher
110152 Destination Role ID
110153 Source Role ID
110154 Destination Media
110155 Source Media
110180 Study Instance UID
110181 SOP Class UID
110182 Node ID
110190 Issuer of Identifier`,
	hippad.SystemActReason: `TREAT treatment
ETREAT Emergency Treatment
HMARKT healthcare marketing
HPAYMT healthcare payment
HOPERAT healthcare operations
HRESCH healthcare research
PATRQT patient requested
PUBHLTH public health
FAMRQT family requested
COC coordination of care
BTG break the glass
CAREMGT care management
CLINTRCH clinical trial research
PWATRNY power of attorney
SUPNWK support network
PATADMIN patient administration
HSYSADMIN health system administration
HLEGAL legal
RECORDMGT records management
DISASTER disaster
THREAT threat
HQUALIMP health quality improvement
PATSFTY patient safety
HACCRED health accreditation
HCOMPL health compliance
ERTREAT emergency room treatment
SYSDEV system development
TRAIN training`,
	systemInteraction: `read read
vread vread
update update
patch patch
delete delete
history history
history-instance history-instance
history-type history-type
history-system history-system
create create
search search
search-type search-type
search-system search-system
capabilities capabilities
transaction transaction
batch batch
operation operation`,
	systemRecordEvent: `disclose Disclose Record Lifecycle Event
receive Receive/Retain Record Lifecycle Event`,
	systemSecurity: `authserver authorization server
datacollector data collector
dataprocessor data processor
datasubject data subject
humanuser human user`,
}

// displays has what a code system calls each of its codes. It is made at the first question: most commands show no FHIR.
var displays = sync.OnceValue(func() map[hippad.Code]string {
	m := make(map[hippad.Code]string)
	for system, list := range conceptLists {
		for line := range strings.Lines(list) {
			code, display, _ := strings.Cut(strings.TrimSpace(line), " ")
			m[hippad.Code{System: system, Code: code}] = display
		}
	}
	return m
})

// display returns what is to be shown for a code of which a sender says something: the code system's own word; for a code
// that its system, as far as it is listed here, does not have, nothing that could contradict it; or else what the sender says.
func display(system, code, said string) string {
	if said == "" {
		return ""
	}
	if d, ok := displays()[hippad.Code{System: system, Code: code}]; ok {
		return d
	}
	if _, listed := conceptLists[system]; listed {
		return ""
	}
	return said
}
