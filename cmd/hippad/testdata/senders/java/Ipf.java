import java.util.List;
import org.openehealth.ipf.commons.audit.CustomTlsParameters;
import org.openehealth.ipf.commons.audit.DefaultAuditContext;
import org.openehealth.ipf.commons.audit.codes.EventActionCode;
import org.openehealth.ipf.commons.audit.codes.EventOutcomeIndicator;
import org.openehealth.ipf.commons.audit.event.PatientRecordBuilder;
import org.openehealth.ipf.commons.audit.types.ActiveParticipantRoleId;

/** Sends one Patient Record message with IPF's ATNA auditor: Ipf TRANSPORT HOST PORT TRUSTSTORE PASSWORD PATIENT. */
public class Ipf {
    public static void main(String[] args) throws Exception {
        DefaultAuditContext context = new DefaultAuditContext();
        context.setAuditEnabled(true);
        context.setAuditSourceId("ipf");
        context.setAuditEnterpriseSiteId("north");
        context.setAuditRepositoryHost(args[1]);
        context.setAuditRepositoryPort(Integer.parseInt(args[2]));
        CustomTlsParameters tls = new CustomTlsParameters();
        tls.setTrustStoreFile(args[3]);
        tls.setTrustStorePassword(args[4]);
        tls.setTrustStoreType("PKCS12");
        tls.setKeyStoreFile(args[3]); // it wants one; there is no key in it, so no certificate is shown
        tls.setKeyStorePassword(args[4]);
        tls.setKeyStoreType("PKCS12");
        tls.setEnabledProtocols("TLSv1.2,TLSv1.3");
        context.setTlsParameters(tls);
        context.setAuditRepositoryTransport(args[0]);
        Throwable[] failed = new Throwable[1];
        context.setAuditExceptionHandler((c, error, message) -> failed[0] = error);
        context.audit(new PatientRecordBuilder(EventOutcomeIndicator.Success, EventActionCode.Read, null)
                .addUserParticipant("anna", null, "Ærlig Gåsvær", "192.0.2.7", List.of(ActiveParticipantRoleId.of("nurse", "example", "nurse")), true)
                .addPatient(args[5] + "^^^&1.2.3.4.5&ISO", "Gåsvær^Ærlig", null)
                .setAuditSource(context).getMessage());
        context.getAuditTransmissionProtocol().shutdown();
        if (failed[0] != null) {
            throw new IllegalStateException(failed[0]);
        }
    }
}
