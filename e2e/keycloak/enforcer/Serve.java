import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.nio.file.Files;
import org.apache.catalina.Context;
import org.apache.catalina.connector.Connector;
import org.apache.catalina.startup.Tomcat;
import org.apache.tomcat.util.descriptor.web.FilterDef;
import org.apache.tomcat.util.descriptor.web.FilterMap;
import org.keycloak.adapters.authorization.integration.jakarta.ServletPolicyEnforcerFilter;
import org.keycloak.representations.adapters.config.PolicyEnforcerConfig;

/**
 * A servlet behind Keycloak's own filter for servlets, as an application has it: what the filter
 * lets pass gets 200. It asks the Keycloak of its configuration, with the token of the request.
 */
public class Serve {
    private static final ObjectMapper JSON = new ObjectMapper();

    /** Serves on loopback until the process ends, and returns the port. */
    static int serve(JsonNode configuration) throws Exception {
        PolicyEnforcerConfig config = JSON.treeToValue(configuration, PolicyEnforcerConfig.class);
        Tomcat tomcat = new Tomcat();
        tomcat.setBaseDir(Files.createTempDirectory("enforcer").toString());
        Connector connector = new Connector();
        connector.setPort(0);
        connector.setProperty("address", "127.0.0.1");
        connector.setProperty("minSpareThreads", "1");
        tomcat.setConnector(connector);
        Context context = tomcat.addContext("", null);
        FilterDef filter = new FilterDef();
        filter.setFilterName("enforcer");
        filter.setFilter(new ServletPolicyEnforcerFilter(request -> config));
        context.addFilterDef(filter);
        FilterMap everywhere = new FilterMap();
        everywhere.setFilterName("enforcer");
        everywhere.addURLPattern("/*");
        context.addFilterMap(everywhere);
        Tomcat.addServlet(context, "api", new HttpServlet() {
            @Override
            protected void service(HttpServletRequest request, HttpServletResponse response) {
                response.setStatus(HttpServletResponse.SC_OK);
            }
        });
        context.addServletMappingDecoded("/*", "api");
        tomcat.start();
        return connector.getLocalPort();
    }
}
