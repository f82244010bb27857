// A request without a client certificate: java NoCertificate.java CA URL TIMES BYTES, with a body of so many bytes where
// that is not 0. Each has to meet the server's alert.

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

class NoCertificate {
    public static void main(String[] args) throws Exception {
        KeyStore roots = KeyStore.getInstance(KeyStore.getDefaultType());
        roots.load(null, null);
        try (var file = Files.newInputStream(Path.of(args[0]))) {
            roots.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(file));
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(roots);
        SSLContext tls = SSLContext.getInstance("TLS");
        tls.init(null, trust.getTrustManagers(), null);
        HttpRequest.Builder builder = HttpRequest.newBuilder(URI.create(args[1]));
        byte[] body = new byte[Integer.parseInt(args[3])];
        HttpRequest request = (body.length == 0 ? builder : builder.POST(HttpRequest.BodyPublishers.ofByteArray(body))).build();
        for (int time = 0; time < Integer.parseInt(args[2]); time++) {
            // A client of its own each time: a connection is not used again.
            HttpClient client = HttpClient.newBuilder().sslContext(tls).build();
            try {
                var answer = client.send(request, HttpResponse.BodyHandlers.ofString());
                throw new AssertionError("it was answered: " + answer.statusCode());
            } catch (IOException error) {
                if (!String.valueOf(error.getMessage()).contains("certificate_required")) {
                    throw error;
                }
            }
        }
    }
}
