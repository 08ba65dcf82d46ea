/* threads.c: how many worker threads all kernels and the matrix library use. Owns: the count that
 * is asked for, and finding out how many OpenMP really grants. Leaves to others: what a kernel does
 * with them.
 *
 * OpenMP may give a parallel region fewer threads than it was asked for: OMP_DYNAMIC=true,
 * OMP_THREAD_LIMIT and OMP_MAX_ACTIVE_LEVELS=0, which cluster schedulers set, do so. Our own loops
 * share out whatever they get. A matrix library cuts a product for omp_get_max_threads() and leaves
 * undone what the missing threads would have computed. So the count is settled before the first
 * kernel runs, by a region that counts its threads, and omp_get_max_threads() is the truth after.
 */
#define _GNU_SOURCE
#include <omp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/engine.h"

/* OMP_NUM_THREADS may hold any number, and OpenMP ends a program that it cannot give so many. */
enum { MOST = 4096 };

static int at_start; /* OpenMP's own count, from before we changed it; 0: not looked at yet */
static bool settled;

/* Makes n, or the fewer that OpenMP grants, the number of threads of every region from here on. */
static void settle(int n) {
  omp_set_dynamic(0);
  if (omp_get_max_active_levels() < 1) omp_set_max_active_levels(1);
  if (n > omp_get_thread_limit()) n = omp_get_thread_limit();
  omp_set_num_threads(n);
  int granted = 1;
#pragma omp parallel
#pragma omp single
  granted = omp_get_num_threads();
  if (granted < n) omp_set_num_threads(granted);
  settled = true;
}

static void look(void) {
  if (!at_start) at_start = omp_get_max_threads() < MOST ? omp_get_max_threads() : MOST;
}

void fsam__threads_settle(void) {
  if (settled) return;
  look();
  settle(at_start);
}

/* The processors that a cgroup's quota amounts to, rounded up; 0: no quota. A container sees its
 * own group at the root. */
static int quota(void) {
  static const char *const files[][2] = {
      {"/sys/fs/cgroup/cpu.max", NULL}, /* version 2: "QUOTA PERIOD" or "max PERIOD" */
      {"/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us"}};
  for (int i = 0; i < 2; i++) {
    double used = 0, period = 0;
    FILE *file = fopen(files[i][0], "r");
    if (!file) continue;
    int read = fscanf(file, "%lf %lf", &used, &period);
    fclose(file);
    if (files[i][1] && (file = fopen(files[i][1], "r"))) {
      read += fscanf(file, "%lf", &period);
      fclose(file);
    }
    if (read == 2 && used > 0 && period > 0) return (int)((used + period - 1) / period);
  }
  return 0;
}

/* What this process may use: OMP_NUM_THREADS where it is set, else its processors or its quota. */
static int all_cores(void) {
  if (getenv("OMP_NUM_THREADS")) return at_start;
  cpu_set_t set;
  int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : omp_get_num_procs();
  const int most = quota();
  return most > 0 && most < n ? most : n;
}

int fsam_threads_set(int n) {
  if (n < 0 || n > MOST) return fsam__fail(FSAM_EINVAL, "threads: %d, expected 0 to %d", n, MOST);
  look();
  settle(n == 0 ? all_cores() : n);
  return FSAM_OK;
}

int fsam_threads(void) {
  fsam__threads_settle();
  return omp_get_max_threads();
}
