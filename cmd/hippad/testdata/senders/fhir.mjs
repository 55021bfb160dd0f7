// Reports, reads, searches and turns pages with the npm package fhir-kit-client. Arguments: the folder with node_modules, base URL, token, patient.
// Prints what it found as JSON.
import path from 'node:path';
import {pathToFileURL} from 'node:url';

const [modules, base, token, patient] = process.argv.slice(2);
const {default: Default, Client: Named} = await import(pathToFileURL(path.join(modules, 'fhir-kit-client', 'dist', 'index.js')));
const Client = Named ?? Default;

const client = new Client({baseUrl: base, bearerToken: token});
const event = (n) => ({
  resourceType: 'AuditEvent',
  type: {system: 'http://terminology.hl7.org/CodeSystem/audit-event-type', code: 'rest'},
  action: 'R', recorded: new Date(Date.UTC(2026, 10, 20, 9, n)).toISOString(), outcome: '0',
  agent: [{who: {display: 'Dr. Lind'}, requestor: true}],
  source: {observer: {display: 'kit'}},
  entity: [{
    what: {identifier: {system: 'urn:oid:1.2.3.4.5', value: patient}},
    role: {system: 'http://terminology.hl7.org/CodeSystem/object-role', code: '1'}, detail: [{type: 'n', valueString: String(n)}],
  }],
});

const created = await client.create({resourceType: 'AuditEvent', body: event(0), options: {headers: {Prefer: 'return=representation'}}});
const batch = await client.batch({body: {
  resourceType: 'Bundle', type: 'batch',
  entry: [1, 2, 3, 4, 5, 6].map((n) => ({request: {method: 'POST', url: 'AuditEvent'}, resource: event(n)})),
}});
const read = await client.read({resourceType: 'AuditEvent', id: created.id});
const capability = await client.capabilityStatement();

const times = [];
let pages = 0;
let bundle = await new Client({baseUrl: base + '/iti81', bearerToken: token}).search({
  resourceType: 'AuditEvent',
  searchParams: {date: 'ge2026-11-01', 'patient.identifier': 'urn:oid:1.2.3.4.5|' + patient, _sort: '-date', _count: 3},
});
while (bundle) {
  pages++;
  for (const e of bundle.entry ?? []) {
    if (e.resource.resourceType === 'AuditEvent') {
      times.push(e.resource.recorded);
    }
  }
  bundle = bundle.link.some((l) => l.relation === 'next') ? await client.nextPage({bundle}) : null;
}
const posted = await client.search({resourceType: 'AuditEvent', searchParams: {patient, _total: 'accurate'}, options: {postSearch: true}});
process.stdout.write(JSON.stringify({
  id: created.id, read: read.id, batch: batch.entry.map((e) => e.response.status), version: capability.fhirVersion, times, pages, total: posted.total,
}));
