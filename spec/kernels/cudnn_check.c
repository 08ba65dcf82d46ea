/* cudnn_check.c: asks cuDNN, without a GPU, whether it has plans for attention's graphs on the GPU
 * whose properties lie in the file of the first argument. For each "samples longest heads d
 * threshold backward" on standard input it prints what it found: the operations and the bytes of
 * workspace, or why there is nothing. cudnn_spec.lua compiles it with the files that it asks about.
 * Exit code 77 where cuDNN cannot be opened. */
#include <stdarg.h>
#include <stdio.h>

#include "kernels/vendor/cudnn_attention_cuda.h"

static char message[1024];

/* In place of the engine's, whose library may be built with a sanitizer, unlike this program. */
int fsam__fail(int code, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  return code;
}

static void check(const cudnn_attention_kind *kind, const char *properties) {
  static cudnn_graph g;
  const cudnn_target target = {.properties = properties};
  g = (cudnn_graph){.count = 0};
  cudnn_attention_graph(&g, kind);
  if (cudnn_plan_make(&g, &target, "this") < 0)
    printf("%s\n", message);
  else
    printf("%d operations, %zu bytes\n", g.operation_count, g.workspace);
  cudnn_graph_free(&g);
}

int main(int count, char **arguments) {
  static char properties[4096];
  FILE *file = count > 1 ? fopen(arguments[1], "r") : NULL;
  if (!file || !fgets(properties, sizeof properties, file)) return 1;
  fclose(file);
  if (cudnn_open() < 0) {
    printf("%s\n", message);
    return 77;
  }
  cudnn_attention_kind k;
  while (scanf("%d %d %d %d %d %d", &k.samples, &k.longest, &k.heads, &k.d, &k.threshold,
               &k.backward) == 6)
    check(&k, properties);
  return 0;
}
