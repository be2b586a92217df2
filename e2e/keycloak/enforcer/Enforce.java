import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import org.keycloak.adapters.authorization.PolicyEnforcer;
import org.keycloak.adapters.authorization.TokenPrincipal;
import org.keycloak.adapters.authorization.spi.HttpRequest;
import org.keycloak.adapters.authorization.spi.HttpResponse;
import org.keycloak.common.util.PathMatcher;
import org.keycloak.representations.AccessToken;
import org.keycloak.representations.idm.authorization.Permission;

/**
 * Asks Keycloak's own code, one question a line: {"paths", "targets"} which path its matcher takes
 * for each target, and {"config", "requests"} whether its policy enforcer lets each request pass.
 * {"serve": config} runs a servlet behind it, and the answer is the port.
 */
public class Enforce {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final int NONE = -1, FAULT = -2;

    public static void main(String[] arguments) throws Exception {
        PrintStream answers = System.out;
        System.setOut(System.err); // what the libraries print is no answer
        BufferedReader questions = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line; (line = questions.readLine()) != null; ) {
            JsonNode question = JSON.readTree(line);
            List<Integer> answer;
            if (question.has("serve")) {
                answer = List.of(Serve.serve(question.get("serve")));
            } else {
                answer = question.has("paths") ? match(question) : enforce(question);
            }
            answers.println(JSON.writeValueAsString(answer));
            answers.flush();
        }
    }

    private static List<Integer> match(JsonNode question) {
        List<String> paths = new ArrayList<>();
        question.get("paths").forEach(path -> paths.add(path.asText()));
        List<Integer> indexes = new ArrayList<>();
        for (int i = 0; i < paths.size(); i++) {
            indexes.add(i);
        }
        PathMatcher<Integer> matcher = new PathMatcher<>() {
            @Override
            protected String getPath(Integer entry) {
                return paths.get(entry);
            }

            @Override
            protected List<Integer> getPaths() {
                return indexes;
            }
        };
        List<Integer> answer = new ArrayList<>();
        for (JsonNode target : question.get("targets")) {
            try {
                Integer taken = matcher.matches(target.asText());
                answer.add(taken == null ? NONE : taken);
            } catch (RuntimeException fault) {
                answer.add(FAULT);
            }
        }
        return answer;
    }

    private static List<Integer> enforce(JsonNode question) throws Exception {
        InputStream config = new ByteArrayInputStream(JSON.writeValueAsBytes(question.get("config")));
        PolicyEnforcer enforcer = PolicyEnforcer.builder().bearerOnly(false).enforcerConfig(config).build();
        List<Integer> answer = new ArrayList<>();
        for (JsonNode request : question.get("requests")) {
            Response response = new Response();
            try {
                boolean granted = enforcer.enforce(new Request(request), response).isGranted();
                answer.add(granted && !response.error ? 1 : 0);
            } catch (RuntimeException fault) {
                answer.add(FAULT);
            }
        }
        return answer;
    }

    private static class Response implements HttpResponse {
        boolean error;

        @Override
        public void sendError(int status) {
            error = true;
        }

        @Override
        public void sendError(int status, String reason) {
            error = true;
        }

        @Override
        public void setHeader(String name, String value) {}
    }

    /** A request with the token that the question has: {"method", "path", "permissions"}. */
    private static class Request implements HttpRequest {
        private final JsonNode request;

        Request(JsonNode request) {
            this.request = request;
        }

        @Override
        public String getRelativePath() {
            return request.get("path").asText();
        }

        @Override
        public String getMethod() {
            return request.get("method").asText();
        }

        @Override
        public String getURI() {
            return "http://api.example.com" + getRelativePath();
        }

        @Override
        public TokenPrincipal getPrincipal() {
            if (!request.has("permissions")) {
                return null;
            }
            AccessToken token = new AccessToken();
            AccessToken.Authorization authorization = new AccessToken.Authorization();
            List<Permission> permissions = new ArrayList<>();
            for (JsonNode permission : request.get("permissions")) {
                HashSet<String> scopes = new HashSet<>();
                permission.get("scopes").forEach(scope -> scopes.add(scope.asText()));
                permissions.add(new Permission(permission.get("rsid").asText(), null, scopes, null));
            }
            authorization.setPermissions(permissions);
            token.setAuthorization(authorization);
            return new TokenPrincipal() {
                @Override
                public String getRawToken() {
                    return "token";
                }

                @Override
                public AccessToken getToken() {
                    return token;
                }
            };
        }

        @Override
        public List<String> getHeaders(String name) {
            return null;
        }

        @Override
        public String getFirstParam(String name) {
            return null;
        }

        @Override
        public String getCookieValue(String name) {
            return null;
        }

        @Override
        public String getRemoteAddr() {
            return "127.0.0.1";
        }

        @Override
        public boolean isSecure() {
            return false;
        }

        @Override
        public String getHeader(String name) {
            return null;
        }

        @Override
        public InputStream getInputStream(boolean buffered) {
            return null;
        }
    }
}
