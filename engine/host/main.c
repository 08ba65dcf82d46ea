/* main.c: the program fsam-lua. Owns: the Lua state, finding the Lua files, that the standard
 * streams are there, how Ctrl-C reaches running Lua, safe loops over tables, and the last words of
 * a crash. Leaves to others: everything a user would call behaviour (options, scripts, errors, the
 * REPL), which is Lua (lua/fsam/program). The only C file that includes lua.h. */
#define _DEFAULT_SOURCE /* sigaltstack */
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <limits.h>
#include <lua.h>
#include <lualib.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

enum { PATH_BYTES = 4 * PATH_MAX };

/* -- Ctrl-C, and other ends from outside ------------------------------------------------------- */

/* Outside of training, which saves (interrupt.c), these end the program as Ctrl-C does. */
static const int ending[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGXCPU};
enum { ENDING = sizeof ending / sizeof *ending, GRACE_SECONDS = 3 };

static lua_State *running; /* the signal handler stops it */
static const char interrupted_key = 0;
static volatile sig_atomic_t ended_by;

/* Handlers have a stack of their own: interrupt.c says why, and a full one has no room for them. */
static void use_handler_stack(void) {
  static char handler_stack[64 << 10];
  const stack_t stack = {.ss_sp = handler_stack, .ss_size = sizeof handler_stack};
  sigaltstack(&stack, NULL);
}

static void give_back(int number) {
  struct sigaction action = {.sa_handler = SIG_DFL};
  sigaction(number, &action, NULL);
}

/* Raises the value that Lua gave to sys.on_interrupt. */
static void stop(lua_State *L, lua_Debug *ar) {
  (void)ar;
  lua_sethook(L, NULL, 0, 0);
  lua_pushlightuserdata(L, (void *)&interrupted_key);
  lua_rawget(L, LUA_REGISTRYINDEX);
  lua_error(L);
}

static void on_grace_over(int number) {
  (void)number;
  give_back(ended_by);
  raise(ended_by);
}

/* The first Ctrl-C stops Lua at its next step (compiled loops do not look, which is why chunks of
 * the REPL are never compiled); the second one ends the program. The other signals come once, from
 * programs that then wait: what does not stop at the next steps ends all the same. */
static void on_ending(int number) {
  give_back(number);
  lua_sethook(running, stop, LUA_MASKCALL | LUA_MASKRET | LUA_MASKCOUNT, 1);
  if (number == SIGINT) return;
  ended_by = number;
  struct sigaction action = {.sa_handler = on_grace_over, .sa_flags = SA_ONSTACK};
  sigaction(SIGALRM, &action, NULL);
  alarm(GRACE_SECONDS);
}

/* sys.on_interrupt(value): from now on Ctrl-C raises `value`; nil: it ends the program, and a stop
 * that has not happened yet is called off. */
static int on_interrupt(lua_State *L) {
  struct sigaction action = {.sa_handler = lua_isnoneornil(L, 1) ? SIG_DFL : on_ending,
                             .sa_flags = SA_ONSTACK};
  use_handler_stack();
  lua_settop(L, 1);
  lua_pushlightuserdata(L, (void *)&interrupted_key);
  lua_insert(L, 1);
  lua_rawset(L, LUA_REGISTRYINDEX);
  sigemptyset(&action.sa_mask);
  for (int i = 0; i < ENDING; i++) { /* no SA_RESTART: a blocked read must return */
    struct sigaction old;
    sigaction(ending[i], NULL, &old);
    bool ignored = old.sa_handler == SIG_IGN && ending[i] != SIGINT; /* nohup */
    if (!ignored) sigaction(ending[i], &action, NULL);
  }
  if (action.sa_handler == SIG_DFL) lua_sethook(L, NULL, 0, 0);
  return 0;
}

/* -- the last words of a crash ----------------------------------------------------------------- */

static uintptr_t stack_top, stack_bytes; /* of the main thread */

static void last_words(const char *words) {
  size_t left = strlen(words);
  while (left > 0) {
    ssize_t n = write(STDERR_FILENO, words, left);
    if (n <= 0) return;
    words += n;
    left -= (size_t)n;
  }
}

static const char used_up[] =
    "the stack is used up; functions that call each other without end, or a limit that is too low "
    "(ulimit -s 131072)\n";

static void on_second_crash(int number) {
  (void)number;
  last_words("fsam-lua: ");
  last_words(used_up);
  _exit(EXIT_FAILURE);
}

/* Begins the last line with the innermost line of Lua. The state may be halfway through something,
 * in which case this crashes and on_second_crash speaks. */
static void say_place(void) {
  const struct sigaction action = {.sa_handler = on_second_crash,
                                   .sa_flags = SA_ONSTACK | SA_NODEFER};
  sigaction(SIGSEGV, &action, NULL);
  sigaction(SIGBUS, &action, NULL);
  char place[LUA_IDSIZE + 32] = "fsam-lua: ";
  lua_Debug ar;
  for (int level = 0; lua_getstack(running, level, &ar); level++) {
    if (!lua_getinfo(running, "Sl", &ar) || ar.currentline < 1) continue;
    snprintf(place, sizeof place, "%s:%d: ", ar.short_src, ar.currentline);
    break;
  }
  last_words(place);
}

static void on_crash(int number, siginfo_t *info, void *context) {
  (void)context;
  const uintptr_t address = (uintptr_t)info->si_addr;
  if (number == SIGSEGV && address < stack_top && stack_top - address < stack_bytes + (1 << 20)) {
    say_place();
    last_words(used_up);
    _exit(EXIT_FAILURE);
  }
  last_words(number == SIGBUS
                 ? "fsam-lua: crash (bus error): a file that a library reads has become shorter\n"
                 : "fsam-lua: crash (segmentation fault): a library without memory (ulimit -v), "
                   "ffi in a script, or a fault of this program\n");
  give_back(number);
  raise(number);
}

/* The sanitizers have handlers of their own, which say more. */
#ifdef __SANITIZE_ADDRESS__
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

static void speak_before_a_crash(void) {
  if (SANITIZED) return;
  struct rlimit limit;
  stack_top = (uintptr_t)__builtin_frame_address(0);
  if (getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
    stack_bytes = limit.rlim_cur;
  use_handler_stack();
  struct sigaction action = {.sa_sigaction = on_crash, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  sigemptyset(&action.sa_mask);
  sigaction(SIGSEGV, &action, NULL);
  sigaction(SIGBUS, &action, NULL);
}

/* -- the terminal ------------------------------------------------------------------------------ */

/* sys.is_terminal(number): is this file descriptor a terminal? */
static int is_terminal(lua_State *L) {
  lua_pushboolean(L, isatty((int)luaL_checkinteger(L, 1)));
  return 1;
}

/* -- the Lua files ----------------------------------------------------------------------------- */

/* The folder of this program, without a slash at its end. */
static int program_folder(char *folder, size_t size) {
  ssize_t n = readlink("/proc/self/exe", folder, size - 1);
  if (n < 0) return -1;
  folder[n] = 0;
  *strrchr(folder, '/') = 0;
  return 0;
}

/* A build tree holds lua/source-tree, one line with the place of the sources. */
static int read_source_tree(char *source, size_t size, const char *folder) {
  char name[PATH_MAX + 32];
  snprintf(name, sizeof name, "%s/lua/source-tree", folder);
  FILE *file = fopen(name, "r");
  if (!file) return -1;
  char *line = fgets(source, (int)size, file);
  fclose(file);
  if (!line) return -1;
  source[strcspn(source, "\n")] = 0;
  return 0;
}

/* Pushes those entries of a search path that are absolute, or those that are not. */
static void push_entries(lua_State *L, const char *path, int absolute) {
  luaL_Buffer entries;
  luaL_buffinit(L, &entries);
  const char *between = "";
  while (*path) {
    size_t length = strcspn(path, ";");
    if (length > 0 && (*path == '/') == absolute) {
      luaL_addstring(&entries, between);
      luaL_addlstring(&entries, path, length);
      between = ";";
    }
    path += length + (path[length] == ';');
  }
  luaL_pushresult(&entries);
}

/* Puts the system's places behind those of LUA_PATH and LUA_CPATH, which may leave them out: our
 * own modules need what lies there. */
static void add_default_paths(lua_State *L) {
  static const char *const fields[] = {"path", "cpath"};
  if (!getenv("LUA_PATH") && !getenv("LUA_CPATH")) return;
  lua_State *plain = luaL_newstate();
  if (!plain) return;
  lua_pushboolean(plain, 1);
  lua_setfield(plain, LUA_REGISTRYINDEX, "LUA_NOENV");
  luaL_openlibs(plain);
  lua_getglobal(plain, "package");
  lua_getglobal(L, "package");
  for (int i = 0; i < 2; i++) {
    lua_getfield(plain, -1, fields[i]);
    lua_getfield(L, -1, fields[i]);
    if (!strstr(lua_tostring(L, -1), lua_tostring(plain, -1))) {
      lua_pushfstring(L, "%s;%s", lua_tostring(L, -1), lua_tostring(plain, -1));
      lua_setfield(L, -3, fields[i]);
    }
    lua_settop(plain, 1);
    lua_settop(L, lua_gettop(L) - 1);
  }
  lua_pop(L, 1);
  lua_close(plain);
}

/* Leaves only absolute entries in package.path and package.cpath: what lies in the current folder
 * must never stand in for a module of ours or of the system. The other entries go to sys.relative,
 * for fsam.program.modules. */
static void set_relative_paths_apart(lua_State *L, int sys) {
  static const char *const fields[] = {"path", "cpath"};
  lua_getglobal(L, "package");
  lua_createtable(L, 0, 2);
  for (int i = 0; i < 2; i++) {
    lua_getfield(L, -2, fields[i]);
    const char *path = lua_tostring(L, -1);
    push_entries(L, path, 0);
    lua_setfield(L, -3, fields[i]);
    push_entries(L, path, 1);
    lua_setfield(L, -4, fields[i]);
    lua_pop(L, 1);
  }
  lua_setfield(L, sys, "relative");
  lua_pop(L, 1);
}

/* Puts our folders in front of package.path, or what FSAM_LUA_PATH says (";;" in it stands for
 * ours), and leaves in sys.share the folder that holds lua/ and recipes/. */
static int set_paths(lua_State *L, int sys) {
  char folder[PATH_MAX], share[PATH_MAX + 32], ours[PATH_BYTES];
  if (program_folder(folder, sizeof folder) < 0)
    return luaL_error(L, "/proc/self/exe cannot be read, so the Lua files are not found");
  int used = 0;
  if (read_source_tree(share, sizeof share, folder) == 0)
    used = snprintf(ours, sizeof ours, "%s/lua/?.lua;", folder);
  else
    snprintf(share, sizeof share, "%.*s/share/fsam-lua", (int)(strrchr(folder, '/') - folder),
             folder);
  snprintf(ours + used, sizeof ours - (size_t)used, "%s/lua/?.lua;%s/lua/?/init.lua", share, share);
  lua_pushstring(L, share);
  lua_setfield(L, sys, "share");

  const char *wanted = getenv("FSAM_LUA_PATH");
  lua_getglobal(L, "package");
  if (wanted) {
    luaL_gsub(L, wanted, ";;", ";\1;");
    luaL_gsub(L, lua_tostring(L, -1), "\1", ours);
    lua_remove(L, -2);
  } else {
    lua_pushstring(L, ours);
  }
  lua_pushliteral(L, ";");
  lua_getfield(L, -3, "path");
  lua_concat(L, 3);
  lua_setfield(L, -2, "path");
  lua_pop(L, 1);
  return 0;
}

/* -- loops over tables ------------------------------------------------------------------------- */

/* LuaJIT compiles `next`, and with it loops over `pairs`. The snapshot of March 2022 that Debian 12
 * has can cut the pointer to a table's entry to 32 bits there, when it must exchange two registers:
 * a crash, in any such loop, once in many. These two do the same and are never compiled. */
static int next_entry(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 2);
  if (lua_next(L, 1)) return 2;
  lua_pushnil(L);
  return 1;
}

static int all_entries(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushvalue(L, 1);
  lua_pushnil(L);
  return 3;
}

/* The releases that roll have other names, and the repair. */
static void walk_without_compiling(lua_State *L) {
  lua_getglobal(L, "jit");
  lua_getfield(L, -1, "version");
  if (!strcmp(lua_tostring(L, -1), "LuaJIT 2.1.0-beta3")) {
    lua_pushcfunction(L, next_entry);
    lua_pushvalue(L, -1);
    lua_setglobal(L, "next");
    lua_pushcclosure(L, all_entries, 1);
    lua_setglobal(L, "pairs");
  }
  lua_pop(L, 2);
}

/* -- the program ------------------------------------------------------------------------------- */

typedef struct command_line {
  int count;
  char **words;
  int status; /* the program's exit code */
} command_line;

/* require("fsam.program.command_line").main(sys) with sys = {argv, share, version, relative,
 * on_interrupt, is_terminal, thread}. */
static int protected_main(lua_State *L) {
  command_line *line = lua_touserdata(L, 1);
  lua_gc(L, LUA_GCSTOP, 0); /* nothing to collect while the libraries load */
  luaL_openlibs(L);
  lua_gc(L, LUA_GCRESTART, -1);
  walk_without_compiling(L);

  lua_createtable(L, 0, 8);
  int sys = lua_gettop(L);
  lua_createtable(L, line->count, 1);
  for (int i = 0; i < line->count; i++) {
    lua_pushstring(L, line->words[i]);
    lua_rawseti(L, -2, i);
  }
  lua_setfield(L, sys, "argv");
  lua_pushliteral(L, FSAM_VERSION);
  lua_setfield(L, sys, "version");
  lua_pushcfunction(L, on_interrupt);
  lua_setfield(L, sys, "on_interrupt");
  lua_pushcfunction(L, is_terminal);
  lua_setfield(L, sys, "is_terminal");
  lua_pushthread(L);
  lua_setfield(L, sys, "thread");
  add_default_paths(L);
  set_relative_paths_apart(L, sys);
  set_paths(L, sys);

  lua_getglobal(L, "require");
  lua_pushliteral(L, "fsam.program.names");
  lua_call(L, 1, 0);
  lua_getglobal(L, "require");
  lua_pushliteral(L, "fsam.program.command_line");
  lua_call(L, 1, 1);
  lua_getfield(L, -1, "main");
  lua_pushvalue(L, sys);
  lua_call(L, 1, 1);
  line->status = (int)lua_tointeger(L, -1);
  return 0;
}

/* Threads that wait for each other spin for a moment and then sleep. libgomp's own choice is to
 * spin for milliseconds, which on a machine that does something else as well makes every step many
 * times slower. It reads this when libfsam is opened. */
static void limit_spinning(void) {
  if (!getenv("OMP_WAIT_POLICY")) setenv("GOMP_SPINCOUNT", "300", 0);
}

/* The matrix library and deep Lua need some hundred KB; below NO_STACK nothing runs. With LUA_STACK
 * a function that calls itself through string.gsub and the like, which keep 8 KB a call on the C
 * stack, meets Lua's own limit first: that is an error, and not the end. */
enum { LEAST_STACK = 1 << 20, NO_STACK = 256 << 10, LUA_STACK = 128 << 20 };

/* Does OpenMP take its threads' stacks from this text, "64", "64k" or "16M", and are they small? */
static bool is_small_stack(const char *text) {
  char *end;
  if (!text) return false;
  double size = strtod(text, &end);
  end += strspn(end, " \t");
  if (end == text || size < 0) return false;
  const char *unit = "bBkKmMgG";
  const char *found = *end ? strchr(unit, *end) : unit + 2; /* KB without one */
  if (!found) return false;
  for (long i = (found - unit) / 2; i > 0; i--) size *= 1024;
  return size < LEAST_STACK;
}

/* A stack that a limit or OMP_STACKSIZE makes too small would end the program inside the matrix
 * library, without a word. OpenMP's threads get theirs when libfsam is opened, and the main one
 * grows to its limit of the moment. False where the system's own limit is too low. */
static bool make_stacks_large_enough(void) {
  struct rlimit limit;
  const bool known = getrlimit(RLIMIT_STACK, &limit) == 0;
  const bool small = known && limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < LEAST_STACK;
  const char *asked = getenv("OMP_STACKSIZE");
  if (!asked) asked = getenv("GOMP_STACKSIZE");
  if (asked ? is_small_stack(asked) : small) setenv("OMP_STACKSIZE", "2M", 1);
  if (!asked && known && limit.rlim_cur == LUA_STACK) /* of a program of ours that started this */
    setenv("OMP_STACKSIZE", "8M", 1);
  if (!known || limit.rlim_cur >= LUA_STACK) return true; /* RLIM_INFINITY is the largest */
  limit.rlim_cur = limit.rlim_max < LUA_STACK ? limit.rlim_max : LUA_STACK;
  return (setrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur >= NO_STACK) || !small;
}

/* Opens the standard streams that are closed on /dev/null. Otherwise the next file to be opened, a
 * log or a checkpoint, would become one of them and take what is meant for the screen. */
static int open_standard_streams(void) {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
    if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd) return -1;
  return 0;
}

/* Answers and tables that a full disk did not take must not look like a success. A reader that has
 * left (`| head`) wants no more, and no word about it. On a terminal Ctrl-C may break into a write,
 * and who sits there has seen what came. */
static void tell_lost_output(void) {
  if (isatty(STDOUT_FILENO)) return;
  const bool failed = ferror(stdout);
  errno = 0;
  if (fflush(stdout) == 0 && !failed) return;
  const int reason = errno;
  struct pollfd reader = {.fd = STDOUT_FILENO};
  if (reason == EPIPE || (poll(&reader, 1, 0) == 1 && (reader.revents & POLLERR))) return;
  fprintf(stderr, "fsam-lua: cannot write standard output%s%s\n", reason ? ": " : "",
          reason ? strerror(reason) : "");
  fflush(stderr);
  _exit(EXIT_FAILURE);
}

/* A program that starts others of ours, and waits for them, sets this for them: they end with it,
 * as by SIGTERM, whatever ends it. */
static void end_with_parent(void) {
  if (!getenv("FSAM_ENDS_WITH_PARENT")) return;
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  unsetenv("FSAM_ENDS_WITH_PARENT");
}

int main(int argc, char **argv) {
  end_with_parent();
  if (open_standard_streams() < 0) return EXIT_FAILURE; /* and there is nowhere to say why */
  atexit(tell_lost_output);
  limit_spinning();
  if (!make_stacks_large_enough()) {
    fputs("fsam-lua: the limit of the stack is below 256 KB; raise it (ulimit -s 8192)\n", stderr);
    return EXIT_FAILURE;
  }
  speak_before_a_crash();
  signal(SIGXFSZ, SIG_IGN); /* a write beyond the limit of a file's size fails like a full disk */
  lua_State *L = luaL_newstate();
  if (!L) {
    fputs("fsam-lua: no memory for a Lua state\n", stderr);
    return EXIT_FAILURE;
  }
  running = L;
  command_line line = {argc, argv, EXIT_FAILURE};
  if (lua_cpcall(L, protected_main, &line) != 0)
    fprintf(stderr, "fsam-lua: %s\n", lua_isstring(L, -1) ? lua_tostring(L, -1) : "no start");
  lua_close(L);
  return line.status;
}
