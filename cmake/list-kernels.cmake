# Lists the kernels that are functions of engine/fsam.h, those between its lines "kernels begin" and
# "kernels end": FSAM_KERNEL(NAME, (arguments)) for each `int fsam_NAME(arguments);`. Beside it,
# arguments.def has those kernels and the engine's own `cast` as FSAM_PROFILED(NAME, (arguments),
# (names of the arguments), SEEN(name) of each).
file(READ ${HEADER} text)
string(REGEX REPLACE "/\\* kernels (begin|end) \\*/" "@\\1@" text "${text}")
string(REGEX REPLACE "/\\*([^*]|\\*+[^*/])*\\*+/" "" text "${text}")
string(REGEX REPLACE "[ \n]+" " " text "${text}")
set(list "/* Generated from engine/fsam.h; edit that. */\n")
set(profiled "${list}")
string(REGEX MATCHALL "@begin@[^@]*@end@" parts "${text}")
string(REGEX MATCHALL "int fsam_[a-z0-9_]+\\([^)]*\\)" prototypes "${parts}")
list(APPEND prototypes "int fsam_cast(fsam_tensor *to, const fsam_tensor *from)")
foreach(prototype IN LISTS prototypes)
  string(REGEX REPLACE "^int fsam_([a-z0-9_]+)(\\(.*\\))$" "FSAM_KERNEL(\\1, \\2)" kernel
    "${prototype}")
  string(REGEX REPLACE "^int fsam_([a-z0-9_]+)(\\(.*\\))$" "\\1;\\2" parts "${prototype}")
  list(GET parts 0 name)
  list(GET parts 1 arguments)
  string(REGEX REPLACE "[^,()]*[ *]([a-z0-9_]+)([,)])" " \\1\\2" names "${arguments}")
  string(REPLACE "(" "" seen "${names}")
  string(REGEX REPLACE "([a-z0-9_]+)[,)]" "SEEN(\\1)" seen "${seen}")
  string(APPEND profiled "FSAM_PROFILED(${name}, ${arguments}, ${names}, ${seen})\n")
  if(NOT name STREQUAL "cast") # kernels.def has it
    string(APPEND list "${kernel}\n")
  endif()
endforeach()
file(WRITE ${OUT} "${list}")
get_filename_component(folder ${OUT} DIRECTORY)
file(WRITE ${folder}/arguments.def "${profiled}")
