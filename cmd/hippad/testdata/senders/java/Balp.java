import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.rest.client.api.ServerValidationModeEnum;
import ca.uhn.fhir.storage.interceptor.balp.AsyncMemoryQueueBackedFhirClientBalpSink;
import ca.uhn.fhir.storage.interceptor.balp.BalpProfileEnum;
import ca.uhn.fhir.storage.interceptor.balp.FhirClientBalpSink;
import java.util.Date;
import org.hl7.fhir.r4.model.AuditEvent;
import org.hl7.fhir.r4.model.Coding;
import org.hl7.fhir.r4.model.Reference;

/** Sends BALP PatientRead events with HAPI's sinks: Balp BASE PATIENT N. The first goes by itself, the others through the queue. */
public class Balp {
    public static void main(String[] args) throws Exception {
        FhirContext context = FhirContext.forR4();
        context.getRestfulClientFactory().setServerValidationMode(ServerValidationModeEnum.NEVER);
        new FhirClientBalpSink(context, args[0]).recordAuditEvent(event(args[1], 0));
        AsyncMemoryQueueBackedFhirClientBalpSink queue = new AsyncMemoryQueueBackedFhirClientBalpSink(context, args[0]);
        for (int i = 1; i < Integer.parseInt(args[2]); i++) {
            queue.recordAuditEvent(event(args[1], i));
        }
        System.in.read(); // until the test has seen everything: what is in the queue when it is stopped is lost
        queue.stop();
    }

    private static AuditEvent event(String patient, int number) {
        AuditEvent e = new AuditEvent();
        e.getMeta().addProfile(BalpProfileEnum.PATIENT_READ.getProfileUrl());
        e.setType(new Coding("http://terminology.hl7.org/CodeSystem/audit-event-type", "rest", "Restful Operation"));
        e.addSubtype(new Coding("http://hl7.org/fhir/restful-interaction", "read", "read"));
        e.setAction(AuditEvent.AuditEventAction.R).setRecorded(new Date()).setOutcome(AuditEvent.AuditEventOutcome._0);
        AuditEvent.AuditEventAgentComponent client = e.addAgent();
        client.getType().addCoding(new Coding("http://dicom.nema.org/resources/ontology/DCM", "110152", "Destination Role ID"));
        client.setWho(new Reference().setDisplay("portal")).setRequestor(false).getNetwork().setAddress("192.0.2.9").setType(AuditEvent.AuditEventAgentNetworkType._2);
        AuditEvent.AuditEventAgentComponent server = e.addAgent();
        server.getType().addCoding(new Coding("http://dicom.nema.org/resources/ontology/DCM", "110153", "Source Role ID"));
        server.setWho(new Reference().setDisplay("hapi")).setRequestor(false).getNetwork().setAddress("https://ehr.example/fhir").setType(AuditEvent.AuditEventAgentNetworkType._5);
        AuditEvent.AuditEventAgentComponent user = e.addAgent();
        user.getType().addCoding(new Coding("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "IRCP", "information recipient"));
        user.setWho(new Reference().setDisplay("Dr. Lind")).setRequestor(true);
        e.getSource().setObserver(new Reference().setDisplay("hapi"));
        e.addEntity().setWhat(new Reference("Patient/" + patient)).setRole(new Coding("http://terminology.hl7.org/CodeSystem/object-role", "1", "Patient"))
                .setType(new Coding("http://terminology.hl7.org/CodeSystem/audit-entity-type", "1", "Person"));
        e.addEntity().setWhat(new Reference("Observation/" + number)).setRole(new Coding("http://terminology.hl7.org/CodeSystem/object-role", "4", "Domain Resource"))
                .setType(new Coding("http://terminology.hl7.org/CodeSystem/audit-entity-type", "2", "System Object"));
        return e;
    }
}
