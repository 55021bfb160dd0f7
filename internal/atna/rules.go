package atna

import "hippad"

// A rule is the place of a hippad.Rule in rules.
type rule uint8

const (
	ruleFrame rule = iota
	ruleFrameCut
	ruleFrameStray

	rulePRI
	ruleVersion
	ruleTimestamp
	ruleTimestampMissing
	ruleHostname
	ruleHostnameMissing
	ruleAppName
	ruleAppNameMissing
	ruleProcID
	ruleMsgID
	ruleMsgIDMissing
	ruleFieldsMissing
	ruleSpaces
	ruleStructuredData
	ruleDuplicateSD
	ruleFacility
	ruleSeverity
	ruleIHEMsgID
	ruleIHEStructuredData
	ruleBOM

	ruleWellFormed
	ruleTruncatedXML
	ruleRefusedXML
	ruleEncoding
	ruleRoot
	ruleIHEYr4
	ruleNamespace
	ruleDialect
	ruleOrder
	ruleMisprint
	ruleAttribute
	ruleElement
	ruleCode
	ruleBase64
	ruleDetail

	ruleEvent
	ruleEventID
	ruleEventPlaceholder
	ruleEventCID400
	ruleEventTime
	ruleEventZone
	ruleEventOutcome
	ruleEventAction
	ruleAgent
	ruleUserID
	ruleRequestor
	ruleNetworkType
	ruleSource
	ruleSourceID
	ruleSourceType
	ruleObjectID
	ruleObjectIDType
	ruleObjectType
	ruleObjectRole
	ruleObjectLifecycle
	ruleNameAndQuery
	ruleNameOrQuery
	ruleSensistity

	rulePatients
	rulePatientCX
	ruleEscapedTwice
	ruleIDTypeSystem
	ruleDisclosure
	ruleCount
)

// rules is everything that Check finds, in the order of the constants.
var rules = [ruleCount]hippad.Rule{
	ruleFrame:      {ID: "syslog-frame", Standard: "RFC 5425 4.3", Text: "the octet count of the frame is wrong, or there is none; the message was recovered"},
	ruleFrameCut:   {ID: "syslog-frame-cut", Standard: "RFC 5424 6.1", Text: "the message is longer than the limit, or the connection ended inside it"},
	ruleFrameStray: {ID: "syslog-stray", Standard: "RFC 6587 3.4", Text: "bytes between the frames that belong to no message"},

	rulePRI:               {ID: "syslog-pri", Standard: "RFC 5424 6.2.1", Text: "PRI is missing, greater than 191, or has leading zeros"},
	ruleVersion:           {ID: "syslog-version", Standard: "RFC 5424 6.2.2", Text: "VERSION is not 1, or missing as in the old format of RFC 3164"},
	ruleTimestamp:         {ID: "syslog-timestamp", Standard: "RFC 5424 6.2.3", Text: "TIMESTAMP is not a date and time with zone, capital T and Z and at most six digits of fraction"},
	ruleTimestampMissing:  {ID: "syslog-timestamp-missing", Standard: "RFC 5424 6.2.3", Text: "TIMESTAMP is NILVALUE, which is for senders without a clock"},
	ruleHostname:          {ID: "syslog-hostname", Standard: "RFC 5424 6.2.4", Text: "HOSTNAME is longer than 255 octets or not printable ASCII"},
	ruleHostnameMissing:   {ID: "syslog-hostname-missing", Standard: "RFC 5424 6.2.4", Text: "HOSTNAME is missing"},
	ruleAppName:           {ID: "syslog-app-name", Standard: "RFC 5424 6.2.5", Text: "APP-NAME is longer than 48 octets or not printable ASCII"},
	ruleAppNameMissing:    {ID: "syslog-app-name-missing", Standard: "RFC 5424 6.2.5", Text: "APP-NAME is missing"},
	ruleProcID:            {ID: "syslog-procid", Standard: "RFC 5424 6.2.6", Text: "PROCID is longer than 128 octets or not printable ASCII"},
	ruleMsgID:             {ID: "syslog-msgid", Standard: "RFC 5424 6.2.7", Text: "MSGID is longer than 32 octets or not printable ASCII"},
	ruleMsgIDMissing:      {ID: "syslog-msgid-missing", Standard: "RFC 5424 6.2.7", Text: "MSGID is missing"},
	ruleFieldsMissing:     {ID: "syslog-fields-missing", Standard: "RFC 5424 6", Text: "the message starts before the header has all its fields"},
	ruleSpaces:            {ID: "syslog-spaces", Standard: "RFC 5424 6", Text: "fields of the header are not divided by one space"},
	ruleStructuredData:    {ID: "syslog-structured-data", Standard: "RFC 5424 6.3", Text: "STRUCTURED-DATA is missing or malformed"},
	ruleDuplicateSD:       {ID: "syslog-sd-id-twice", Standard: "RFC 5424 6.3.2", Text: "STRUCTURED-DATA has the same SD-ID twice"},
	ruleFacility:          {ID: "iti20-facility", Standard: "IHE ITI TF-2 3.20.4.1.2", Text: "the facility of PRI is not 10"},
	ruleSeverity:          {ID: "iti20-severity", Standard: "IHE ITI TF-2 3.20.4.1.2", Text: "the severity of PRI is neither 5 nor 4"},
	ruleIHEMsgID:          {ID: "iti20-msgid", Standard: "IHE ITI TF-2 3.20.4.1.2", Text: "MSGID is neither IHE+RFC-3881 nor DICOM+RFC3881"},
	ruleIHEStructuredData: {ID: "iti20-structured-data", Standard: "IHE ITI TF-2 3.20.4.1.2", Text: "STRUCTURED-DATA is used"},
	ruleBOM:               {ID: "iti20-bom", Standard: "IHE ITI TF-2 3.20.4.1.2", Text: "a byte order mark, or what a conversion made of it, stands before the audit message"},

	ruleWellFormed:   {ID: "xml-well-formed", Standard: "XML 1.0 2.1", Text: "the audit message is not well-formed XML"},
	ruleTruncatedXML: {ID: "xml-truncated", Standard: "XML 1.0 2.1", Text: "the audit message ends before its root element does"},
	ruleRefusedXML:   {ID: "xml-limits", Standard: "DICOM PS3.15 A.5.1", Text: "the XML has an internal document type, or more elements or attributes than any audit message"},
	ruleEncoding:     {ID: "iti20-utf-8", Standard: "IHE ITI TF-2 3.20.4.1.2", Text: "the audit message is not in UTF-8"},
	ruleRoot:         {ID: "dicom-root", Standard: "DICOM PS3.15 A.5.1", Text: "there is no AuditMessage"},
	ruleIHEYr4:       {ID: "dicom-iheyr4", Standard: "DICOM PS3.15 A.5.1", Text: "the message is in the provisional schema of 2002, which RFC 3881 replaced"},
	ruleNamespace:    {ID: "dicom-namespace", Standard: "DICOM PS3.15 A.5.1", Text: "AuditMessage is in a namespace, which the schema does not have"},
	ruleDialect:      {ID: "dicom-dialect", Standard: "DICOM PS3.15 A.5.1", Text: "coded values have code and displayName, as in RFC 3881, instead of csd-code and originalText"},
	ruleOrder:        {ID: "dicom-order", Standard: "DICOM PS3.15 A.5.1", Text: "elements are not in the order of the schema"},
	ruleMisprint:     {ID: "dicom-misprint", Standard: "DICOM PS3.15 A.5.1", Text: "the name of an element or attribute is misspelt"},
	ruleAttribute:    {ID: "dicom-attribute", Standard: "DICOM PS3.15 A.5.1", Text: "something is an attribute that should be an element"},
	ruleElement:      {ID: "dicom-element", Standard: "DICOM PS3.15 A.5.1", Text: "something is an element that should be an attribute"},
	ruleCode:         {ID: "dicom-coded-value", Standard: "DICOM PS3.15 A.5.1", Text: "a coded value lacks its code, the name of its code system, or its text"},
	ruleBase64:       {ID: "dicom-base64", Standard: "DICOM PS3.15 A.5.1", Text: "a query or the value of a detail is not in base64"},
	ruleDetail:       {ID: "dicom-detail", Standard: "DICOM PS3.15 A.5.1", Text: "a ParticipantObjectDetail lacks type or value"},

	ruleEvent:            {ID: "dicom-event", Standard: "DICOM PS3.15 A.5.1", Text: "EventIdentification is missing"},
	ruleEventID:          {ID: "dicom-event-id", Standard: "DICOM PS3.15 A.5.1", Text: "EventID is missing"},
	ruleEventPlaceholder: {ID: "dicom-event-id-placeholder", Standard: "DICOM PS3.15 A.5.1", Text: "EventID is empty or the placeholder of a template"},
	ruleEventCID400:      {ID: "dicom-event-id-unknown", Standard: "DICOM PS3.16 CID 400", Text: "EventID is not one of the events of DICOM or IHE"},
	ruleEventTime:        {ID: "dicom-event-time", Standard: "DICOM PS3.15 A.5.1", Text: "EventDateTime is missing or not a date and time"},
	ruleEventZone:        {ID: "dicom-event-zone", Standard: "DICOM PS3.15 A.5.1", Text: "EventDateTime has no time zone"},
	ruleEventOutcome:     {ID: "dicom-event-outcome", Standard: "DICOM PS3.15 A.5.1", Text: "EventOutcomeIndicator is missing or not 0, 4, 8 or 12"},
	ruleEventAction:      {ID: "dicom-event-action", Standard: "DICOM PS3.15 A.5.1", Text: "EventActionCode is not C, R, U, D or E"},
	ruleAgent:            {ID: "dicom-agent", Standard: "DICOM PS3.15 A.5.1", Text: "there is no ActiveParticipant"},
	ruleUserID:           {ID: "dicom-user-id", Standard: "DICOM PS3.15 A.5.1", Text: "UserID of an ActiveParticipant is missing or empty"},
	ruleRequestor:        {ID: "dicom-user-is-requestor", Standard: "DICOM PS3.15 A.5.1", Text: "UserIsRequestor of an ActiveParticipant is missing, misspelt, or neither true nor false"},
	ruleNetworkType:      {ID: "dicom-network-type", Standard: "DICOM PS3.15 A.5.1", Text: "NetworkAccessPointTypeCode is not 1 to 5, or missing beside NetworkAccessPointID"},
	ruleSource:           {ID: "dicom-source", Standard: "DICOM PS3.15 A.5.1", Text: "AuditSourceIdentification is missing"},
	ruleSourceID:         {ID: "dicom-source-id", Standard: "DICOM PS3.15 A.5.1", Text: "AuditSourceID is missing or empty"},
	ruleSourceType:       {ID: "dicom-source-type", Standard: "DICOM PS3.15 A.5.1", Text: "the type of the source is text, or stands in attributes of AuditSourceIdentification"},
	ruleObjectID:         {ID: "dicom-object-id", Standard: "DICOM PS3.15 A.5.1", Text: "ParticipantObjectID is missing or empty"},
	ruleObjectIDType:     {ID: "dicom-object-id-type", Standard: "DICOM PS3.15 A.5.1", Text: "ParticipantObjectIDTypeCode is missing"},
	ruleObjectType:       {ID: "dicom-object-type", Standard: "DICOM PS3.15 A.5.1", Text: "ParticipantObjectTypeCode is not 1 to 4"},
	ruleObjectRole:       {ID: "dicom-object-role", Standard: "DICOM PS3.15 A.5.1", Text: "ParticipantObjectTypeCodeRole is not 1 to 26"},
	ruleObjectLifecycle:  {ID: "dicom-object-lifecycle", Standard: "DICOM PS3.15 A.5.1", Text: "ParticipantObjectDataLifeCycle is not 1 to 15"},
	ruleNameAndQuery:     {ID: "dicom-name-and-query", Standard: "DICOM PS3.15 A.5.1", Text: "a participant object has both ParticipantObjectName and ParticipantObjectQuery"},
	ruleNameOrQuery:      {ID: "dicom-name-or-query", Standard: "DICOM PS3.15 A.5.1", Text: "a participant object has neither ParticipantObjectName nor ParticipantObjectQuery"},
	ruleSensistity:       {ID: "dicom-sensistity", Standard: "DICOM PS3.15 A.5.1", Text: "ParticipantObjectSensistity, the misprint of an older schema, stands for ParticipantObjectSensitivity"},

	rulePatients:     {ID: "iti20-one-patient", Standard: "IHE ITI TF-2 3.20.7.1", Text: "the message is about several patients"},
	rulePatientCX:    {ID: "iti20-patient-cx", Standard: "IHE ITI TF-2 3.20.7.1", Text: "the id of a patient is not an HL7 CX with an assigning authority"},
	ruleEscapedTwice: {ID: "iti20-escaped-twice", Standard: "IHE ITI TF-2 3.20.7.1", Text: "the id of a patient was escaped twice"},
	ruleIDTypeSystem: {ID: "iti20-id-type-system", Standard: "IHE ITI TF-2 3.20.7.1.3", Text: "a ParticipantObjectIDTypeCode that is a number has a codeSystemName other than RFC-3881"},
	ruleDisclosure:   {ID: "iti20-disclosure-purpose", Standard: "IHE ITI TF-2 3.20.8", Text: "a disclosure has no PurposeOfUse"},
}

// broken are the rules that a report breaks.
type broken [ruleCount]bool

// when notes a rule as broken if it is.
func (b *broken) when(is bool, r rule) { b[r] = b[r] || is }

func (b *broken) list() []hippad.Rule {
	var out []hippad.Rule
	for r, is := range b {
		if is {
			out = append(out, rules[r])
		}
	}
	return out
}
