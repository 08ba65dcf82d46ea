/* interrupt.c: Ctrl-C as a flag that a loop polls, and the width of a terminal. A signal handler
 * reaches only globals, so that the flag is one: the library has no other beside the error message.
 */
#include <signal.h>
#include <sys/ioctl.h>

#include "engine/engine.h"

static volatile sig_atomic_t presses;
static volatile sig_atomic_t unread;
static struct sigaction before; /* what fsam_interrupt_catch(0) puts back */
static bool catching;

static void on_sigint(int number) {
  if (presses++ == 0) {
    unread = 1;
    return;
  }
  struct sigaction action = {.sa_handler = SIG_DFL};
  sigaction(number, &action, NULL);
  raise(number);
}

void fsam_interrupt_catch(int on) {
  if (on && !catching) {
    struct sigaction action = {.sa_handler = on_sigint}; /* no SA_RESTART: reads return at once */
    sigemptyset(&action.sa_mask);
    presses = unread = 0;
    sigaction(SIGINT, &action, &before);
  } else if (!on && catching) {
    sigaction(SIGINT, &before, NULL);
  }
  catching = on != 0;
}

int fsam_interrupted(void) {
  int was = unread;
  unread = 0;
  return was;
}

int fsam_terminal_width(int fd) {
  struct winsize size;
  return ioctl(fd, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}
