package rollcall.bridge;

import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.stream.Stream;

/**
 * Loads classes with the simulator ahead of our own platform on the class path, so that they run on {@link
 * LenientCard}.
 */
final class Lenient {

    private Lenient() {
    }

    static ClassLoader loader() {
        // Jars before folders, so that javacard.framework comes from the simulator and not from the test classes.
        URL[] path = Stream.of(System.getProperty("java.class.path").split(File.pathSeparator)).map(Path::of)
            .sorted(Comparator.comparing(Files::isDirectory)).map(Lenient::url).toArray(URL[]::new);
        return new URLClassLoader(path, ClassLoader.getPlatformClassLoader());
    }

    private static URL url(Path entry) {
        try {
            return entry.toUri().toURL();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    static void main(String[] args) throws ReflectiveOperationException {
        loader().loadClass(VpcdBridge.class.getName()).getMethod("main", String[].class).invoke(null, (Object) args);
    }
}
