/* interrupt.c: Ctrl-C, and the signals that announce an end, as a flag that a loop polls; and the
 * width of a terminal. A signal handler reaches only globals, so that the flag is one,
 * as lineedit.c's is: the library has no others beside the error message. */
#define _DEFAULT_SOURCE /* sigaltstack */
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "engine/engine.h"

/* Who asks for the end: Ctrl-C; kill, docker and Slurm; a terminal or a pipe that goes away;
 * Slurm's --signal=USR1; a limit on CPU time. */
static const int asking[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGUSR1, SIGXCPU};
enum { ASKING = sizeof asking / sizeof *asking, GRACE_SECONDS = 3 };

static volatile sig_atomic_t presses; /* of Ctrl-C */
static volatile sig_atomic_t unread;
static struct sigaction before[ASKING]; /* what fsam_interrupt_catch(0) puts back */
static bool catching;

/* The handler runs on a stack of its own. Kernels that the matrix library makes at run time keep
 * values below the stack pointer, where a signal's frame would overwrite them: a signal in a
 * product then corrupts memory (oneDNN 2.6 on AVX2). spec/engine/interrupt_spec.lua sends a storm
 * of them.
 */
static char handler_stack[64 << 10];

static void say(const char *words) {
  if (isatty(STDERR_FILENO) && write(STDERR_FILENO, words, strlen(words)) < 0) return;
}

static void end_now(int number) {
  (void)number;
  struct sigaction action = {.sa_handler = SIG_DFL};
  sigaction(SIGINT, &action, NULL);
  raise(SIGINT);
}

/* Ctrl-C again. What was there before us may stop Lua in the line that it is at (main.c). A loop
 * that never looks ends all the same, a moment later. */
static void on_again(void) {
  if (before[0].sa_handler == SIG_DFL || before[0].sa_handler == SIG_IGN) {
    end_now(SIGINT);
    return;
  }
  struct sigaction action = {.sa_handler = end_now, .sa_flags = SA_ONSTACK};
  sigaction(SIGALRM, &action, NULL);
  alarm(GRACE_SECONDS);
  sigaction(SIGINT, &before[0], NULL);
  raise(SIGINT);
}

/* Only Ctrl-C ends the program when it comes again: the others come in pairs (USR1, then TERM) or
 * every second (XCPU) while the checkpoint that they asked for is being written. */
static void on_signal(int number) {
  if (number == SIGINT && presses++ > 0) {
    on_again();
    return;
  }
  if (number == SIGINT) say("\nCtrl-C: ends after this update and saves; again: ends at once\n");
  unread = 1;
}

void fsam_interrupt_catch(int on) {
  if (on && !catching) {
    /* SA_RESTART: a signal must not fail the reading or writing of a file. */
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART | SA_ONSTACK};
    const stack_t stack = {.ss_sp = handler_stack, .ss_size = sizeof handler_stack};
    sigaltstack(&stack, NULL);
    sigemptyset(&action.sa_mask);
    presses = unread = 0;
    for (int i = 0; i < ASKING; i++) {
      sigaction(asking[i], NULL, &before[i]);
      bool ignored = before[i].sa_handler == SIG_IGN && asking[i] != SIGINT; /* nohup */
      if (!ignored) sigaction(asking[i], &action, NULL);
    }
  } else if (!on && catching) {
    if (presses > 1) alarm(0);
    for (int i = 0; i < ASKING; i++) sigaction(asking[i], &before[i], NULL);
  }
  catching = on != 0;
}

int fsam_interrupted(void) {
  int was = unread;
  unread = 0;
  return was;
}

void fsam_interrupt_ignore(void) {
  struct sigaction action = {.sa_handler = SIG_IGN};
  sigaction(SIGINT, &action, NULL);
}

int fsam_terminal_width(int fd) {
  struct winsize size;
  return ioctl(fd, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}
