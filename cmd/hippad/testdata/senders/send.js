'use strict';
// Sends one Patient Record event (DICOM PS3.15 A.5.3.10) with the npm package atna-audit and prints the syslog message
// that it has handed over. The only argument is JSON: {interface, host, port, ca, user, patient, name}.
const fs = require('fs');
const atna = require('atna-audit');

const want = JSON.parse(process.argv[2]);
const c = atna.construct, k = atna.constants;

const event = new c.EventIdentification(k.EVENT_ACTION_READ, new Date(), k.OUTCOME_SUCCESS, new c.Code(110110, 'Patient Record', 'DCM'));
const system = new c.ActiveParticipant('ward-system', '', false, 'ward.example', k.NET_AP_TYPE_DNS, [new c.Code(110150, 'Application', 'DCM')]);
const user = new c.ActiveParticipant(want.user, '', true, null, null, [new c.Code('nurse', 'nurse', 'example')]);
const patient = new c.ParticipantObjectIdentification(want.patient + '^^^&1.2.3.4.5&ISO', 1, 1, null, null,
  new c.Code(2, 'Patient Number', 'RFC-3881'), want.name);
const source = new c.AuditSourceIdentification('north wing', 'ward-system', new c.Code(3, '', ''));
const message = c.wrapInSyslog(new c.AuditMessage(event, [system, user], [patient], [source]).toXML());

const to = {interface: want.interface, host: want.host, port: want.port};
if (want.ca) {
  to.options = {ca: fs.readFileSync(want.ca)};
}
atna.send.sendAuditEvent(message, to, function (err) {
  if (err) {
    console.error(String(err));
    process.exitCode = 1;
    return;
  }
  process.stdout.write(message);
});
