package regulation

// inForce is the Security Rule, as far as a log can say anything of it, with the parts of the Privacy and Breach Notification Rules that this program
// answers: 45 CFR part 164.
func inForce() Catalogue {
	return Catalogue{
		Name: "hipaa", Title: "45 CFR part 164: Security Rule, and what of the Privacy and Breach Notification Rules concerns records of activity",
		Source:   "45 CFR 164.308, 164.312, 164.316, 164.400 to 164.414, 164.528, 164.530, as amended to 2026",
		Controls: append(append(administrative(), technical()...), privacy()...),
	}
}

// administrative are the administrative safeguards, 164.308, and the documentation, 164.316.
func administrative() []Control {
	return []Control{
		{Section: "164.308(a)(1)(ii)(C)", Title: "sanction policy", Requirement: Required, Mark: Verified, Steps: "review",
			Does:     "A finding of a review is kept with the verdict of the person who judged it; the verdict can lead to a case.",
			Measures: []string{"review"},
			Duty:     "Have a sanction policy, apply it to those who fail to comply, and document the sanctions in the personnel records. hippad knows nothing of sanctions."},
		{Section: "164.308(a)(1)(ii)(D)", Title: "information system activity review", Requirement: Required, Mark: Verified, Steps: "review",
			Does:     "Reviews, their findings, verdicts and signatures are entries of the log; so is every question that somebody asks of it.",
			Measures: []string{"review", "readings", "reports"},
			Duty:     "Decide how often is regularly, do the reviews, sign them, and act on what they find. \"Regularly\" is not defined in the rule: write down what you mean by it."},
		{Section: "164.308(a)(3)(ii)(C)", Title: "termination procedures", Requirement: Addressable, Mark: Verified,
			Does:     "Members and accounts of this log can be revoked at once, open connections included; each change is an entry.",
			Measures: []string{"member", "account"},
			Duty:     "End access everywhere else when employment ends, and tell the review who has left (a roster of staff with end dates)."},
		{Section: "164.308(a)(4)(ii)(B)", Title: "access authorization", Requirement: Addressable, Mark: Verified,
			Does:     "Who may do what with this log is one table of roles that denies what it does not list; attempts beyond it are entries.",
			Measures: []string{"member", "account", "denied"},
			Duty:     "Authorise access to the systems that report here, and document it."},
		{Section: "164.308(a)(4)(ii)(C)", Title: "access establishment and modification", Requirement: Addressable, Mark: Verified,
			Does:     "Each change of a member, an account or a role is an entry with who made it.",
			Measures: []string{"member", "account"},
			Duty:     "Review and modify people's rights in the systems that report here; what they used is in the log."},
		{Section: "164.308(a)(5)(ii)(C)", Title: "log-in monitoring", Requirement: Addressable, Mark: Verified,
			Does:     "Log-ins that systems report, and those to this log, are entries; repeated failures at this log are locked out for a while.",
			Measures: []string{"login", "login-failed", "node-failed"},
			Duty:     "Have the systems report their log-ins, look at the discrepancies, and train people in monitoring and reporting them."},
		{Section: "164.308(a)(6)(ii)", Title: "response and reporting of security incidents", Requirement: Required, Mark: Verified, Steps: "breach",
			Does:     "Each step of a case, from discovery to its end, is an entry with its author; a case is replayed from them.",
			Measures: []string{"breach", "login-failed", "denied", "foreign"},
			Duty:     "Identify and respond to incidents, mitigate their harm, and document outcomes. Attempts that fail are incidents too (45 CFR 164.304)."},
		{Section: "164.308(a)(7)(ii)(A)", Title: "data backup plan, of this log", Requirement: Required, Mark: Memory,
			Does:     "The log can be copied while it runs; the copy is sealed, and each is an entry.",
			Measures: []string{"backup"},
			Duty:     "Plan, keep and test backups of all ePHI. Of this log, restore one from time to time and audit it."},
		{Section: "164.308(a)(8)", Title: "evaluation", Requirement: Standard, Mark: Verified,
			Does:     "What is asked of the log, exported and stated is recorded; exports verify offline.",
			Measures: []string{"export", "compliance"},
			Duty:     "Evaluate your safeguards periodically, by people who can. This statement may be a part of that and is not it."},
		{Section: "164.316(b)(1)", Title: "documentation", Requirement: Standard, Mark: Verified,
			Does:     "Actions and activities that the rules ask to be documented, and that are done with hippad, are entries that nobody can change unnoticed.",
			Measures: []string{"own", "review", "breach", "disclosure"},
			Duty:     "Keep your policies and procedures, and the documentation of what is done without hippad."},
		{Section: "164.316(b)(2)(i)", Title: "time limit: six years", Requirement: Required, Mark: Verified,
			Does:     "Content is kept six calendar years or longer by its class; nothing ends by itself, and a hold always wins.",
			Measures: []string{knownEntries, "destroyed", knownCertificates, "hold", "release", knownHolds},
			Duty:     "Decide on longer classes (State law, minors), place holds in time, and keep documents outside the log as long."},
	}
}

// technical are the technical safeguards, 164.312.
func technical() []Control {
	return []Control{
		{Section: "164.312(a)(1)", Title: "access control", Requirement: Standard, Mark: Verified,
			Does:     "Nobody gets at this log but by a role; attempts to do more are entries.",
			Measures: []string{"readings", "denied"},
			Duty:     "Control access in the systems that hold ePHI."},
		{Section: "164.312(a)(2)(i)", Title: "unique user identification", Requirement: Required, Mark: Verified,
			Does:     "Events that name nobody, ids that name no one person, and ids that are in many places at once are counted.",
			Measures: []string{"nobody", "shared", knownManyPlaced},
			Duty:     "Assign unique names, abolish shared ones, and have systems report who acted. An id at many addresses may be shared, or a person who walks."},
		{Section: "164.312(a)(2)(ii)", Title: "emergency access procedure", Requirement: Required, Mark: Verified,
			Does:     "Emergency access that systems report is an entry like any other and can be reviewed.",
			Measures: []string{"emergency", "glass"},
			Duty:     "Have the procedure, and review each use of it."},
		{Section: "164.312(a)(2)(iii)", Title: "automatic logoff", Requirement: Addressable, Mark: Verified,
			Does:     "Sessions at this log end after 15 minutes without use. Log-outs that systems report are counted beside their log-ins.",
			Measures: []string{"login", "logout"},
			Duty:     "Configure automatic logoff in the systems that hold ePHI; not all of them report a log-out."},
		{Section: "164.312(a)(2)(iv)", Title: "encryption and decryption", Requirement: Addressable, Mark: Verified,
			Does:     "Content in this log is sealed with AES-256-GCM under a data key of its month and class; search terms are keyed hashes.",
			Measures: []string{"key", "rotate"},
			Duty:     "Encrypt ePHI elsewhere, or document why not. Keep the master key of this log away from its data."},
		{Section: "164.312(b)", Title: "audit controls", Requirement: Standard, Mark: Verified,
			Does: "What systems report is kept byte for byte before it is acknowledged, and can be examined. Sources that fall silent and numbers that are missing are entries.",
			Measures: []string{"reports", "door-native", "door-fhir", "door-syslog-tls", "unencrypted", knownReporters, knownOrganisations, "unreadable", "incomplete",
				"source-silent", "source-gap", knownSilent, knownMissing, "readings"},
			Duty: "See to it that every system that holds ePHI records activity and reports it here, and examine it. hippad cannot know of a system that never reported; " +
				"hippad conformance says what each sender gets wrong, and leaves no entry of its own but the search."},
		{Section: "164.312(c)(1)", Title: "integrity", Requirement: Standard, Mark: Verified,
			Does:     "Every entry is a leaf of a Merkle tree under signed checkpoints; what is cut, mended or stray on its way here is marked.",
			Measures: []string{knownEntries, "truncated", "framing", "stray"},
			Duty:     "Protect ePHI itself from improper alteration or destruction."},
		{Section: "164.312(c)(2)", Title: "mechanism to authenticate ePHI", Requirement: Addressable, Mark: Verified,
			Does:     "A receipt proves offline that an entry is in the log as it was. Destroyed content has a certificate.",
			Measures: []string{knownEntries, "destroyed", knownCertificates},
			Duty: "Run hippad audit on the stopped log or on a restored backup, and keep its output and receipts elsewhere: an audit leaves no entry. " +
				"Corroborate ePHI in your other systems."},
		{Section: "164.312(d)", Title: "person or entity authentication", Requirement: Standard, Mark: Verified,
			Does:     "Reporters authenticate by certificate or token, people by password and second factor or an identity provider; failures are entries.",
			Measures: []string{"login", "login-failed", "node-failed", "unauthenticated", "foreign"},
			Duty:     "Authenticate whoever seeks access to ePHI. Give senders of trusted networks certificates where they can have them."},
		{Section: "164.312(e)(1)", Title: "transmission security", Requirement: Standard, Mark: Verified,
			Does:     "The port speaks TLS 1.2 and 1.3 only; syslog datagrams are off unless somebody turns them on.",
			Measures: []string{"reports", "unencrypted", "unauthenticated"},
			Duty:     "Guard ePHI on every other network path."},
		{Section: "164.312(e)(2)(i)", Title: "integrity controls in transmission", Requirement: Addressable, Mark: Verified,
			Does:     "What arrives over TLS arrives unaltered; numbered streams are stored exactly once; what is missing by a sender's own numbers is an entry.",
			Measures: []string{"truncated", "framing", "stray", "source-gap", knownMissing},
			Duty:     "Let senders number or sign their messages, and look after gaps."},
		{Section: "164.312(e)(2)(ii)", Title: "encryption in transmission", Requirement: Addressable, Mark: Verified,
			Does:     "Reports that did not come by TLS are counted.",
			Measures: []string{"unencrypted"},
			Duty:     "Move senders from datagrams to TLS, or document why not."},
	}
}

// privacy are the sections of the Privacy and Breach Notification Rules that this program answers.
func privacy() []Control {
	return []Control{
		{Section: "164.400 to 164.414", Title: "notification of breaches of unsecured PHI", Requirement: Rule, Mark: Verified, Steps: "breach",
			Does:     "A breach is a case: scope, assessment, clocks, notices and evidence are entries.",
			Measures: []string{"breach"},
			Duty:     "Decide whether it is a breach, send the notices in time, report to the Secretary, and carry the burden of proof (164.414(b)). hippad writes letters and sends none."},
		{Section: "164.528", Title: "accounting of disclosures", Requirement: Rule, Mark: Verified, Steps: "disclosure",
			Does:     "Disclosures that systems report or people enter are classified, decided and accounted for; each accounting is kept as it was given.",
			Measures: []string{"disclosure"},
			Duty:     "Act on each request within 60 days, enter disclosures on paper and by telephone, and decide what only a person can decide."},
		{Section: "164.530(j)", Title: "documentation of privacy and breaches", Requirement: Rule, Mark: Verified,
			Does:     "Accountings, cases and reviews are entries without an end; what lies behind them can be held.",
			Measures: []string{"disclosure", "access", "breach", knownHolds},
			Duty:     "Keep policies, notices, complaints, training and sanctions for six years from their making or last effect."},
	}
}

// proposed2025 is what the notice of proposed rulemaking of January 2025 would add, as far as a log can say anything of it. Nothing of it is in force.
func proposed2025() Catalogue {
	add := func(title string, mark Mark, does, duty string, measures ...string) Control {
		return Control{Section: "90 FR 898", Title: title, Requirement: Proposed, Mark: mark, Does: does, Duty: duty, Measures: measures}
	}
	return Catalogue{
		Name: "hipaa-nprm-2025", Title: "HIPAA Security Rule, notice of proposed rulemaking of January 6, 2025", Proposed: true,
		Source: "90 FR 898, RIN 0945-AA22, docket HHS-OCR-2024-0020; status checked in mid-2026",
		Controls: []Control{
			add("no difference between required and addressable", Verified, "Nothing: it is for the organisation to implement.",
				"Find out what you have documented instead of implementing it."),
			add("encryption at rest and in transit", Verified, "Content in this log is sealed; its port speaks TLS.",
				"Encrypt all ePHI elsewhere. End datagrams.", "key", "rotate", "unencrypted"),
			add("multi-factor authentication", Verified, "Accounts of this log need a second factor, or an identity provider that can be told to ask for one.",
				"Deploy it in the systems that hold ePHI.", "login", "account", "unauthenticated"),
			add("inventory of technology assets and network map, every year", Verified, "Sources that report are known, with their last sign of life.",
				"Make the inventory and the map. What never reported is not in this list.", knownReporters, knownOrganisations, knownSilent),
			add("vulnerability scans every six months, penetration test every year", Verified, "Nothing.", "Do them and keep their results."),
			add("compliance audit, every year", Verified, "This statement, from the log itself.", "Have the audit done.", "compliance", "review"),
			add("restoration within 72 hours", Verified, "hippad restore makes a data directory of a backup and audits it.", "Plan, test and document it for all systems.", "backup"),
			add("notice of a business associate within 24 hours of activating its contingency plan", Memory, "Nothing.", "Agree on it in the contracts."),
			add("notice within 24 hours when workforce access ends", Memory, "Members and accounts of this log are revoked at once.", "Tell the other regulated entities.", "member", "account"),
			add("audit trail and system log controls: recording and alerting in real time", Memory,
				"Reports are durable and searchable when they are acknowledged; silence, gaps, failures and refusals become entries and metrics within minutes.",
				"Connect every system, and watch the alerts.", "reports", knownReporters, "source-silent", "source-gap", "node-failed", "denied"),
		},
	}
}
