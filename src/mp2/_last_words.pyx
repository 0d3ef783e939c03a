# cython: language_level=3, freethreading_compatible=True
"""What the process says when a library aborts it, and the exit code it ends with then; `last_words` is its public face.

The handler of SIGABRT runs in whichever thread aborted, with whatever locks that one holds: so it is C that calls `write` and
`_exit` alone, on words that were copied beforehand. Two sets of words take turns, so that a set is never written while the
handler may be reading it. Where there is no `sigaction` (Windows, whose Rust aborts without a signal) nothing is installed.
"""

cdef extern from *:
    """
    #include <stddef.h>
    #include <string.h>

    #define MP2_MAX_WORDS 32768

    #if defined(_WIN32)

    static void mp2_words_set(const char *err, size_t n_err, const char *out, size_t n_out, int code) {
        (void)err, (void)n_err, (void)out, (void)n_out, (void)code;
    }
    static void mp2_words_drop(void) {}

    #else

    #include <errno.h>
    #include <signal.h>
    #include <unistd.h>

    typedef struct {
        char text[2][MP2_MAX_WORDS];
        size_t length[2];
        int code;
    } mp2_words;

    static mp2_words mp2_sets[2];
    static const mp2_words *mp2_said; /* NULL: no handler is installed */
    static char mp2_is_saying;
    static struct sigaction mp2_before;

    static void mp2_say(int fd, const char *text, size_t length) {
        while (length > 0) {
            ssize_t n = write(fd, text, length);
            if (n < 0 && errno == EINTR)
                continue;
            if (n <= 0)
                return;
            text += n;
            length -= (size_t)n;
        }
    }

    static void mp2_on_abort(int number, siginfo_t *info, void *context) {
        const mp2_words *words = __atomic_load_n(&mp2_said, __ATOMIC_ACQUIRE);
        (void)context;
        if (words == NULL) /* dropped a moment ago; the abort goes on */
            return;
        if (info->si_pid != 0 && info->si_pid != getpid()) { /* from outside, a watchdog perhaps: no fault of a file */
            sigaction(number, &mp2_before, NULL);
            raise(number);
            return;
        }
        while (__atomic_test_and_set(&mp2_is_saying, __ATOMIC_ACQ_REL)) /* another thread aborted first, and will end us */
            pause();
        mp2_say(2, words->text[0], words->length[0]);
        mp2_say(1, words->text[1], words->length[1]);
        _exit(words->code);
    }

    static void mp2_copy(mp2_words *words, int which, const char *text, size_t length) {
        words->length[which] = length < MP2_MAX_WORDS ? length : MP2_MAX_WORDS;
        memcpy(words->text[which], text, words->length[which]);
    }

    static void mp2_words_set(const char *err, size_t n_err, const char *out, size_t n_out, int code) {
        mp2_words *words = mp2_said == &mp2_sets[0] ? &mp2_sets[1] : &mp2_sets[0];
        int installed = mp2_said != NULL;
        mp2_copy(words, 0, err, n_err);
        mp2_copy(words, 1, out, n_out);
        words->code = code;
        __atomic_store_n(&mp2_said, words, __ATOMIC_RELEASE);
        if (!installed) {
            struct sigaction action;
            memset(&action, 0, sizeof action);
            sigfillset(&action.sa_mask);
            action.sa_flags = SA_SIGINFO;
            action.sa_sigaction = mp2_on_abort;
            sigaction(SIGABRT, &action, &mp2_before);
        }
    }

    static void mp2_words_drop(void) {
        if (mp2_said != NULL) {
            sigaction(SIGABRT, &mp2_before, NULL);
            __atomic_store_n(&mp2_said, NULL, __ATOMIC_RELEASE);
        }
    }

    #endif
    """
    enum:
        MP2_MAX_WORDS
    void mp2_words_set(const char *err, size_t n_err, const char *out, size_t n_out, int code)
    void mp2_words_drop()

MAX_BYTES = MP2_MAX_WORDS
"""Room for what is written to stderr, and as much for stdout; what is longer is cut."""


def prepare(bytes err, bytes out, int code):
    """From now on an abort writes `err` to stderr, `out` to stdout (at most `MAX_BYTES` each), and ends the process with `code`.

    Not from two threads at once.
    """
    mp2_words_set(err, len(err), out, len(out), code)


def drop():
    """The handler that was there before is put back."""
    mp2_words_drop()
