/* simt.cpp: the scheduler behind simt.h. Only one thread of the process may use it at a time. The
 * device on which its kernels run is engine/cuda/device.cu on a fake runtime (runtime.cpp). */
#include "spec/simt/simt.h"

#include "kernels/vector/select.cuh"
#include "spec/simt/runtime.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <deque>
#include <memory>
#include <set>
#include <string>

dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace {

enum {
  MAX_THREADS = 1024,
  WARP = 32,
  STACK = 64 << 10,
  PAGE = 4096,
  SHARED = 227 << 10,       /* bytes that a block may have on the largest GPU */
  STATIC_SHARED = 48 << 10, /* … without asking for it at the launch */
  GUARD = 64,               /* bytes between two pieces of shared memory */
  MAX_PIECES = 64,
};

/* NaN as f32, bf16 and f64; as an index, far below 0. */
constexpr uint16_t POISON = 0xfff9, GUARD_WORD = 0xffa5;

void fill(void *p, size_t bytes, uint16_t word) {
  for (size_t i = 0; i < bytes / 2; i++) ((uint16_t *)p)[i] = word;
}

/* -- fibers ------------------------------------------------------------------------------------ */

enum state { READY, AT_BARRIER, IN_WARP, EARLY, DONE };

struct fiber {
  void *stack; /* its pointer, while it does not run */
  state now;
  const char *what; /* the warp's function in which it waits */
  unsigned exchanges;
};

/* A copy that a thread has started, and how many groups the thread had closed before it. */
struct copy {
  void *to;
  const void *from;
  int bytes;
  unsigned group;
};

struct copies {
  std::deque<copy> pending;
  unsigned groups;
};

struct piece {
  unsigned char *memory;
  size_t bytes;
};

struct machine {
  fiber fibers[MAX_THREADS];
  copies started[MAX_THREADS];
  unsigned char *stacks, *shared;
  void *scheduler; /* its stack pointer, while a fiber runs */
  int threads, current;
  void (*body)(void *);
  void *context;
  bool descending;
  uint64_t block; /* number of the block in hand, never the same twice */
  piece pieces[MAX_PIECES];
  int piece_count;
  size_t used, static_used;
  char fault[200]; /* what went wrong, or "" */
  /* The lanes' exchanged bytes, of two rounds in turn: a lane may be one round ahead of another. */
  alignas(16) unsigned char exchange[MAX_THREADS / WARP][2][WARP][32];
} m;

}  // namespace

/* Leaves one stack for another: what a function call keeps is pushed, the pointers are exchanged.
 */
extern "C" void simt_switch(void **from, void *to);
#if defined __x86_64__
asm(R"(
  .text
  .hidden simt_switch
  .globl simt_switch
  .type simt_switch, @function
simt_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size simt_switch, .-simt_switch
)");
enum { SAVED = 6, FRAME = SAVED + 2 }; /* registers; with the return address and its alignment */
#elif defined __aarch64__
asm(R"(
  .text
  .hidden simt_switch
  .globl simt_switch
  .type simt_switch, %function
simt_switch:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x2, sp
  str x2, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
  .size simt_switch, .-simt_switch
)");
enum { SAVED = 11, FRAME = 20 }; /* x30 is the twelfth word of the frame */
#else
#error "simt: threads need a stack switch for this processor"
#endif

namespace {

/* Back to the scheduler, until it resumes this fiber. */
void pause_as(state now) {
  fiber *f = &m.fibers[m.current];
  f->now = now;
  simt_switch(&f->stack, m.scheduler);
}

/* Keeps the first fault of a launch, which the launch reports. */
void fault(const char *text) {
  if (m.fault[0]) return;
  snprintf(m.fault, sizeof m.fault, "thread %d of block (%u, %u, %u): %s", m.current, blockIdx.x,
           blockIdx.y, blockIdx.z, text);
}

/* Where a fiber begins; it has no caller to return to. */
void begin() {
  m.body(m.context);
  if (!m.started[m.current].pending.empty()) fault("ends before copies that it has started");
  pause_as(DONE);
}

void resume(int thread) {
  m.current = thread;
  threadIdx.x = (unsigned)thread;
  simt_switch(&m.scheduler, m.fibers[thread].stack);
}

void prepare(int thread) {
  void **top = (void **)(m.stacks + (size_t)(thread + 1) * STACK);
  void **frame = top - FRAME;
  memset(frame, 0, FRAME * sizeof *frame);
  frame[SAVED] = (void *)begin;
  m.fibers[thread] = {frame, READY, "", 0};
  m.started[thread].pending.clear();
  m.started[thread].groups = 0;
}

/* What has run so far, for the specs' report. */
std::set<std::string> names;
int64_t launches;
std::string slow; /* kernels with this in their names take time */
double slow_milliseconds;

/* A wild address, a stack that was too small, or an access that is not aligned, at which the
 * compiler's check stops (cmake/simt.cmake): the fiber is left where it is. */
void on_fault(int number, siginfo_t *info, void *) {
  char text[80];
  if (number == SIGILL || number == SIGTRAP)
    snprintf(text, sizeof text, "an access is not aligned to its size");
  else
    snprintf(text, sizeof text, "touched address %p, where nothing lies", info->si_addr);
  fault(text);
  pause_as(DONE);
}

/* -- starting early ---------------------------------------------------------------------------- */

/* What the kernel that runs must wait for, until its first block has come to wait for it. */
std::function<int()> ahead;
int early_launches;

/* Stacks and shared memory of machines that do what is ahead. */
struct room {
  unsigned char *stacks, *shared;
};
std::deque<room> rooms;

/* Does that, in a room of its own: the block in hand is not touched. */
void do_ahead() {
  const std::function<int()> work = std::move(ahead);
  ahead = nullptr;
  early_launches++;
  const std::unique_ptr<machine> kept(new machine(m));
  const dim3 thread = threadIdx, block = blockIdx, threads = blockDim, grid = gridDim;
  m.stacks = m.shared = NULL; /* a launch makes new ones */
  if (!rooms.empty()) {
    m.stacks = rooms.back().stacks;
    m.shared = rooms.back().shared;
    rooms.pop_back();
  }
  const int rc = work();
  if (m.stacks) rooms.push_back({m.stacks, m.shared});
  m = *kept;
  threadIdx = thread, blockIdx = block, blockDim = threads, gridDim = grid;
  if (rc < 0) snprintf(m.fault, sizeof m.fault, "%s", fsam_error());
}

/* -- one block --------------------------------------------------------------------------------- */

/* The number of the i-th of n in this launch's order. */
int64_t in_order(int64_t i, int64_t n) { return m.descending ? n - 1 - i : i; }

/* Lets a warp go on from the function that all its lanes have come to; false where none waits. */
bool warp_meets(int first) {
  int waiting = -1;
  for (int i = first; i < first + WARP; i++)
    if (m.fibers[i].now == IN_WARP) waiting = i;
  if (waiting < 0) return false;
  m.current = waiting;
  for (int i = first; i < first + WARP; i++)
    if (m.fibers[i].now != IN_WARP || strcmp(m.fibers[i].what, m.fibers[waiting].what) != 0)
      fault("waits in a function of its warp that other lanes do not come to");
  for (int i = first; i < first + WARP; i++) m.fibers[i].now = READY;
  return true;
}

/* Runs a warp until all of its threads wait for the block, or are done. */
void run_warp(int first) {
  do {
    for (int i = 0; i < WARP && !m.fault[0]; i++) {
      const int thread = first + (int)in_order(i, WARP);
      if (m.fibers[thread].now == READY) resume(thread);
    }
  } while (!m.fault[0] && warp_meets(first));
}

/* Fails when something was written between the pieces of shared memory. */
void check_guards() {
  for (int i = 0; i < m.piece_count; i++) {
    const piece &p = m.pieces[i];
    for (size_t k = 0; k < GUARD / 2; k++)
      if (((const uint16_t *)(p.memory - GUARD))[k] != GUARD_WORD ||
          ((const uint16_t *)(p.memory + (p.bytes + 1) / 2 * 2))[k] != GUARD_WORD)
        fault("wrote outside of its shared memory (or another thread of the block did)");
  }
}

unsigned char *take_shared(size_t bytes) {
  const size_t room = (bytes + 15) / 16 * 16;
  if (m.used + room > simt_shared_limit() || m.piece_count == MAX_PIECES) {
    fault("needs more shared memory than a block has");
    pause_as(DONE);
  }
  unsigned char *p = m.shared + GUARD * (size_t)(m.piece_count + 1) + m.used;
  m.pieces[m.piece_count++] = {p, bytes};
  m.used += room;
  fill(p, bytes, POISON);
  fill(p + (bytes + 1) / 2 * 2, room - bytes + GUARD, GUARD_WORD);
  return p;
}

void run_block(size_t dynamic) {
  static uint64_t blocks;
  m.block = ++blocks;
  m.piece_count = 0;
  m.used = m.static_used = 0;
  fill(m.shared, GUARD, GUARD_WORD);
  take_shared(dynamic);
  for (int i = 0; i < m.threads; i++) prepare(i);
  for (int done = 0; done < m.threads && !m.fault[0];) {
    for (int w = 0; w < m.threads / WARP && !m.fault[0]; w++)
      run_warp((int)in_order(w, m.threads / WARP) * WARP);
    if (ahead && m.fibers[0].now == EARLY) do_ahead();
    done = 0;
    for (int i = 0; i < m.threads; i++) {
      if (m.fibers[i].now == AT_BARRIER || m.fibers[i].now == EARLY) m.fibers[i].now = READY;
      done += m.fibers[i].now == DONE;
    }
  }
  check_guards();
}

/* Memory that all launches share. */
int set_up() {
  if (m.stacks) return FSAM_OK;
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  void *stacks = mmap(NULL, (size_t)MAX_THREADS * STACK, PROT_READ | PROT_WRITE, flags, -1, 0);
  m.shared = (unsigned char *)aligned_alloc(64, SHARED + GUARD * (MAX_PIECES + 1));
  if (stacks == MAP_FAILED || !m.shared) return fsam__fail(FSAM_ENOMEM, "simt: no memory");
  m.stacks = (unsigned char *)stacks;
  for (int i = 0; i < MAX_THREADS; i++) mprotect(m.stacks + (size_t)i * STACK, PAGE, PROT_NONE);
  return FSAM_OK;
}

}  // namespace

/* -- what kernels call ------------------------------------------------------------------------- */

void __syncthreads() { pause_as(AT_BARRIER); }

void wait_for_earlier() {
  if (ahead) pause_as(EARLY);
}

int simt_do_early(const std::function<int()> &earlier, const std::function<int()> &work) {
  ahead = earlier;
  const int rc = work();
  if (!ahead) return rc;
  ahead = nullptr;
  FSAM_TRY(earlier());
  return rc < 0 ? rc : fsam__fail(FSAM_EINTERNAL, "a kernel that starts early waits for nothing");
}

const unsigned char *simt_exchange(const char *what, const void *mine, size_t bytes) {
  fiber *f = &m.fibers[m.current];
  unsigned char(*round)[32] = m.exchange[m.current / WARP][f->exchanges++ % 2];
  memcpy(round[m.current % WARP], mine, bytes);
  f->what = what;
  pause_as(IN_WARP);
  return round[0];
}

void *simt_shared(simt_site *site, size_t bytes) {
  if (site->block == m.block) return site->memory;
  m.static_used += bytes;
  if (m.static_used > STATIC_SHARED) {
    fault("declares more shared memory than 48 KiB");
    pause_as(DONE);
  }
  *site = {m.block, take_shared(bytes)};
  return site->memory;
}

unsigned char *simt_dynamic_shared() { return m.pieces[0].memory; }

void simt_check_aligned(const void *p) {
  if ((uintptr_t)p % 16 == 0) return;
  fault("accesses 16 bytes that are not aligned");
  pause_as(DONE);
}

void simt_start_copy(void *to, const void *from, int bytes) {
  copies &c = m.started[m.current];
  if (((uintptr_t)to | (uintptr_t)from) % (uintptr_t)bytes) {
    fault("copies from or to a place that is not aligned to the copy's size");
    pause_as(DONE);
  }
  c.pending.push_back({to, from, bytes, c.groups});
}

void simt_copies_commit() { m.started[m.current].groups++; }

void simt_copies_wait(int groups) {
  static const unsigned char zeros[16] = {0};
  copies &c = m.started[m.current];
  while (!c.pending.empty() && c.pending.front().group + (unsigned)groups < c.groups) {
    const copy first = c.pending.front();
    c.pending.pop_front();
    memcpy(first.to, first.from ? first.from : zeros, (size_t)first.bytes);
  }
}

int simt_launch(const char *name, dim3 grid, int threads, size_t shared, void (*body)(void *),
                void *context) {
  if (threads < 1 || threads > MAX_THREADS || threads % WARP || grid.y > 65535 || grid.z > 65535 ||
      shared > simt_shared_limit())
    return fsam__fail(FSAM_EINTERNAL,
                      "%s: %d threads, a grid of (%u, %u, %u), %zu bytes of shared memory", name,
                      threads, grid.x, grid.y, grid.z, shared);
  FSAM_TRY(set_up());
  names.insert(name);
  launches++;
  if (slow_milliseconds > 0 && strstr(name, slow.c_str())) simt_spend(slow_milliseconds);
  static unsigned char signal_stack[32 << 10];
  stack_t alternate = {}, old_alternate;
  alternate.ss_sp = signal_stack;
  alternate.ss_size = sizeof signal_stack;
  sigaltstack(&alternate, &old_alternate);
  struct sigaction action = {}, old_segv, old_bus, old_ill, old_trap;
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER; /* it never returns */
  sigaction(SIGSEGV, &action, &old_segv);
  sigaction(SIGBUS, &action, &old_bus);
  sigaction(SIGILL, &action, &old_ill);
  sigaction(SIGTRAP, &action, &old_trap);
  m.threads = threads;
  m.body = body;
  m.context = context;
  m.fault[0] = 0;
  blockDim = dim3((unsigned)threads);
  gridDim = grid;
  threadIdx = dim3(0, 0, 0);
  const int64_t blocks = (int64_t)grid.x * grid.y * grid.z;
  for (int64_t i = 0; i < blocks && !m.fault[0]; i++) {
    const int64_t at = in_order(i, blocks);
    blockIdx = dim3((unsigned)(at % grid.x), (unsigned)(at / grid.x % grid.y),
                    (unsigned)(at / grid.x / grid.y));
    run_block(shared);
  }
  sigaction(SIGSEGV, &old_segv, NULL);
  sigaction(SIGBUS, &old_bus, NULL);
  sigaction(SIGILL, &old_ill, NULL);
  sigaction(SIGTRAP, &old_trap, NULL);
  sigaltstack(&old_alternate, NULL);
  return m.fault[0] ? fsam__fail(FSAM_EINTERNAL, "%s: %s", name, m.fault) : FSAM_OK;
}

/* -- for specs --------------------------------------------------------------------------------- */

#pragma GCC visibility push(default)
extern "C" {

/* Sets the order in which threads, warps and blocks run: ascending, or descending. */
void fsam_simt_order(int descending) { m.descending = descending != 0; }

/* From now on, kernels with this in their names take so long; all others take no time. */
void fsam_simt_takes(const char *name, double milliseconds) {
  slow = name;
  slow_milliseconds = milliseconds;
}

/* How many different kernels have run, and how many launches. */
int fsam_simt_kernels() { return (int)names.size(); }
int64_t fsam_simt_launches() { return launches; }
/* How many started before the kernel ahead of them had ended. */
int fsam_simt_early_launches() { return early_launches; }

/* select_keys_cuda, for specs. */
int fsam_simt_select(uint64_t *mask, const float *keys, fsam_layout *layout, const uint8_t *pool,
                     const int64_t *k, int per_parameter, int outside) {
  return select_keys_cuda(mask, keys, layout->blocks, layout, pool, k, per_parameter, outside);
}

}  // extern "C"
#pragma GCC visibility pop
