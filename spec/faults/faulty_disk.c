/* faulty_disk.c: runs a command whose file system fails at one chosen call. It traces the command
 * and counts its calls on paths under a folder, also those that the C library makes by itself; at
 * number N it does what KIND says. Linux on x86-64.
 *
 *   faulty_disk FOLDER LOG KIND N COMMAND…
 *
 * LOG gets a line "NUMBER CALL PATH" for each call. KIND: kill (before the call), torn (after half
 * of a write), short (half of a write succeeds), or an error: EIO, ENOSPC, EINTR. N 0: no fault.
 * With FAULTY_DISK_NO_EXCHANGE in the environment the file system cannot exchange two paths.
 * The exit code is the command's, or 128 + the signal that ended it; 99: it cannot be traced. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

/* The calls, and which of their arguments are a folder's descriptor, a path, a descriptor. */
static const struct call {
  int number;
  const char *name;
  int at, path, fd;
} calls[] = {
    {SYS_open, "open", -1, 0, -1},
    {SYS_openat, "open", 0, 1, -1},
    {SYS_creat, "open", -1, 0, -1},
    {SYS_read, "read", -1, -1, 0},
    {SYS_pread64, "read", -1, -1, 0},
    {SYS_mmap, "mmap", -1, -1, 4},
    {SYS_write, "write", -1, -1, 0},
    {SYS_pwrite64, "write", -1, -1, 0},
    {SYS_fsync, "fsync", -1, -1, 0},
    {SYS_fdatasync, "fsync", -1, -1, 0},
    {SYS_ftruncate, "ftruncate", -1, -1, 0},
    {SYS_close, "close", -1, -1, 0},
    {SYS_fcntl, "fcntl", -1, -1, 0},
    {SYS_flock, "flock", -1, -1, 0},
    {SYS_stat, "stat", -1, 0, -1},
    {SYS_lstat, "stat", -1, 0, -1},
    {SYS_fstat, "stat", -1, -1, 0},
    {SYS_newfstatat, "stat", 0, 1, 0},
    {SYS_statx, "stat", 0, 1, 0},
    {SYS_getdents64, "getdents", -1, -1, 0},
    {SYS_mkdir, "mkdir", -1, 0, -1},
    {SYS_mkdirat, "mkdir", 0, 1, -1},
    {SYS_rmdir, "rmdir", -1, 0, -1},
    {SYS_unlink, "unlink", -1, 0, -1},
    {SYS_unlinkat, "unlink", 0, 1, -1},
    {SYS_rename, "rename", -1, 0, -1},
    {SYS_renameat, "rename", 0, 1, -1},
    {SYS_renameat2, "exchange", 0, 1, -1},
};
enum { CALLS = sizeof calls / sizeof *calls };

static const char *folder, *kind;
static long wanted, seen;
static FILE *list;

static int become(char **command) {
  struct sock_filter filter[2 * CALLS + 3];
  int n = 0;
  filter[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                             offsetof(struct seccomp_data, nr));
  for (int i = 0; i < CALLS; i++) {
    filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
                                               (unsigned)calls[i].number, 0, 1);
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
  }
  filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  struct sock_fprog program = {.len = (unsigned short)n, .filter = filter};
  if (ptrace(PTRACE_TRACEME, 0, 0, 0)) return 99;
  raise(SIGSTOP); /* the parent sets its options */
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return 99;
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) return 99;
  execvp(command[0], command);
  return 99;
}

static unsigned long long argument(const struct user_regs_struct *r, int i) {
  const unsigned long long all[] = {r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9};
  return all[i];
}

static void path_of_fd(char *out, size_t size, pid_t pid, int fd) {
  char link[64];
  snprintf(link, sizeof link, fd == AT_FDCWD ? "/proc/%d/cwd" : "/proc/%d/fd/%d", pid, fd);
  ssize_t n = readlink(link, out, size - 1);
  out[n > 0 ? n : 0] = 0;
}

/* The path that a call is about; relative ones from their folder. */
static void path_of(char *out, size_t size, pid_t pid, const struct call *c,
                    const struct user_regs_struct *r) {
  char text[4096] = "";
  if (c->path >= 0) {
    /* Page by page: what follows the string may not be mapped. */
    unsigned long long from = argument(r, c->path);
    for (size_t got = 0; got < sizeof text - 1 && !memchr(text, 0, got);) {
      size_t n = 256 - from % 256;
      if (n > sizeof text - 1 - got) n = sizeof text - 1 - got;
      struct iovec to = {text + got, n}, where = {(void *)from, n};
      if (process_vm_readv(pid, &to, 1, &where, 1, 0) != (ssize_t)n) break;
      got += n;
      from += n;
    }
  }
  if (text[0] == '/') {
    snprintf(out, size, "%s", text);
    return;
  }
  char base[4096];
  int fd = c->at >= 0 ? (int)argument(r, c->at) : c->fd >= 0 ? (int)argument(r, c->fd) : AT_FDCWD;
  path_of_fd(base, sizeof base, pid, fd);
  snprintf(out, size, text[0] ? "%s/%s" : "%s", base, text);
}

static int error_number(void) {
  return !strcmp(kind, "EIO") ? EIO : !strcmp(kind, "ENOSPC") ? ENOSPC : EINTR;
}

/* Ends a call with an error instead of doing it. */
static void refuse(pid_t pid, struct user_regs_struct *r, int error) {
  r->orig_rax = (unsigned long long)-1;
  r->rax = (unsigned long long)-error;
  ptrace(PTRACE_SETREGS, pid, 0, r);
}

/* Lets a call happen, and waits until it has. */
static void finish(pid_t pid, struct user_regs_struct *r) {
  int status;
  ptrace(PTRACE_SETREGS, pid, 0, r);
  ptrace(PTRACE_SYSCALL, pid, 0, 0);
  waitpid(pid, &status, __WALL);
  ptrace(PTRACE_GETREGS, pid, 0, r);
}

static void fault(pid_t pid, const struct call *c, struct user_regs_struct *r) {
  const int is_write = !strcmp(c->name, "write");
  if (!strcmp(kind, "kill")) {
    kill(pid, SIGKILL);
  } else if (!strcmp(kind, "torn") && is_write) {
    r->rdx /= 2;
    finish(pid, r);
    kill(pid, SIGKILL);
  } else if (!strcmp(kind, "short") && is_write) {
    r->rdx = (r->rdx + 1) / 2;
    ptrace(PTRACE_SETREGS, pid, 0, r);
  } else if (c->number == SYS_close) { /* on Linux it closes even where it fails */
    finish(pid, r);
    r->rax = (unsigned long long)-error_number();
    ptrace(PTRACE_SETREGS, pid, 0, r);
  } else {
    refuse(pid, r, error_number());
  }
}

static void at_call(pid_t pid) {
  struct user_regs_struct r;
  char path[8200];
  if (ptrace(PTRACE_GETREGS, pid, 0, &r)) return;
  const struct call *c = calls;
  while (c < calls + CALLS && c->number != (int)r.orig_rax) c++;
  if (c == calls + CALLS || (c->number == SYS_mmap && (int)r.r8 < 0)) return;
  if (c->number == SYS_fcntl && r.rsi != F_SETLK && r.rsi != F_SETLKW) return;
  path_of(path, sizeof path, pid, c, &r);
  const size_t length = strlen(folder);
  if (strncmp(path, folder, length) || (path[length] && path[length] != '/')) return;
  if (c->number == SYS_renameat2 && getenv("FAULTY_DISK_NO_EXCHANGE")) {
    refuse(pid, &r, EINVAL);
    return;
  }
  const int makes = !strcmp(c->name, "open") && argument(&r, c->path + 1) & (O_CREAT | O_TRUNC);
  fprintf(list, "%ld %s %s\n", ++seen, makes ? "create" : c->name, path);
  fflush(list);
  if (seen == wanted) fault(pid, c, &r);
}

/* Follows all threads until the first one ends. */
static int follow(pid_t child) {
  int status;
  for (pid_t pid; (pid = waitpid(-1, &status, __WALL)) > 0;) {
    if (pid == child && WIFEXITED(status)) return WEXITSTATUS(status);
    if (pid == child && WIFSIGNALED(status)) return 128 + WTERMSIG(status);
    if (!WIFSTOPPED(status)) continue;
    int number = WSTOPSIG(status);
    if (status >> 8 == (SIGTRAP | PTRACE_EVENT_SECCOMP << 8)) at_call(pid);
    if (number == SIGTRAP || number == SIGSTOP) number = 0;
    ptrace(PTRACE_CONT, pid, 0, number);
  }
  return 99;
}

int main(int argc, char **argv) {
  if (argc < 6) return 99;
  folder = argv[1];
  kind = argv[3];
  wanted = atol(argv[4]);
  pid_t child = fork();
  if (child == 0) _exit(become(argv + 5));
  list = fopen(argv[2], "w");
  int status;
  if (child < 0 || !list || waitpid(child, &status, 0) != child || !WIFSTOPPED(status)) return 99;
  ptrace(PTRACE_SETOPTIONS, child, 0,
         PTRACE_O_TRACESECCOMP | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
             PTRACE_O_EXITKILL);
  ptrace(PTRACE_CONT, child, 0, 0);
  return follow(child);
}
