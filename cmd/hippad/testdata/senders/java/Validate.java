import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.DefaultProfileValidationSupport;
import ca.uhn.fhir.validation.FhirValidator;
import ca.uhn.fhir.validation.ResultSeverityEnum;
import ca.uhn.fhir.validation.SingleValidationMessage;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import org.hl7.fhir.common.hapi.validation.support.CommonCodeSystemsTerminologyService;
import org.hl7.fhir.common.hapi.validation.support.InMemoryTerminologyServerValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.PrePopulatedValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.UnknownCodeSystemWarningValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.ValidationSupportChain;
import org.hl7.fhir.common.hapi.validation.validator.FhirInstanceValidator;
import org.hl7.fhir.instance.model.api.IBaseResource;

/**
 * Validates FHIR resources with HAPI's instance validator, offline: Validate R4|R5 [folder of further profiles]. File names come on
 * standard input, a line each. What is wrong goes to standard output, a line each: file, where, what, separated by tabs; then "checked N".
 */
public class Validate {
    public static void main(String[] args) throws Exception {
        FhirContext context = args[0].equals("R5") ? FhirContext.forR5() : FhirContext.forR4();
        PrePopulatedValidationSupport profiles = new PrePopulatedValidationSupport(context);
        if (args.length > 1) {
            try (DirectoryStream<Path> files = Files.newDirectoryStream(Path.of(args[1]), "{StructureDefinition,CodeSystem,ValueSet}-*.json")) {
                for (Path file : files) {
                    IBaseResource resource = context.newJsonParser().parseResource(Files.readString(file));
                    profiles.addResource(resource);
                }
            }
        }
        // There is no terminology server here, and most code systems in audit messages (SNOMED CT, national ones, a vendor's own) are in no
        // package: that one is not known is not an error of the resource. Codes of known systems are checked.
        UnknownCodeSystemWarningValidationSupport unknown = new UnknownCodeSystemWarningValidationSupport(context);
        ValidationSupportChain chain = new ValidationSupportChain(profiles, new DefaultProfileValidationSupport(context),
                new CommonCodeSystemsTerminologyService(context), new InMemoryTerminologyServerValidationSupport(context), unknown);
        FhirInstanceValidator instances = new FhirInstanceValidator(chain);
        instances.setNoTerminologyChecks(false);
        // A sender may use extensions and profiles of its own.
        instances.setAnyExtensionsAllowed(true);
        instances.setErrorForUnknownProfiles(false);
        FhirValidator validator = context.newValidator().registerValidatorModule(instances);
        BufferedReader names = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        int checked = 0;
        for (String name = names.readLine(); name != null; name = names.readLine()) {
            for (SingleValidationMessage m : validator.validateWithResult(Files.readString(Path.of(name))).getMessages()) {
                if (m.getSeverity() == ResultSeverityEnum.ERROR || m.getSeverity() == ResultSeverityEnum.FATAL) {
                    System.out.println(name + "\t" + m.getLocationString() + "\t" + m.getMessage().replaceAll("\\s+", " "));
                }
            }
            checked++;
        }
        System.out.println("checked " + checked);
    }
}
