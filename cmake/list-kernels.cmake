# Lists the kernels that are functions of engine/fsam.h, those between its lines "kernels begin" and
# "kernels end": FSAM_KERNEL(NAME, (arguments)) for each `int fsam_NAME(arguments);`.
file(READ ${HEADER} text)
string(REGEX REPLACE "/\\* kernels (begin|end) \\*/" "@\\1@" text "${text}")
string(REGEX REPLACE "/\\*([^*]|\\*+[^*/])*\\*+/" "" text "${text}")
string(REGEX REPLACE "[ \n]+" " " text "${text}")
set(list "/* Generated from engine/fsam.h; edit that. */\n")
string(REGEX MATCHALL "@begin@[^@]*@end@" parts "${text}")
string(REGEX MATCHALL "int fsam_[a-z0-9_]+\\([^)]*\\)" prototypes "${parts}")
foreach(prototype IN LISTS prototypes)
  string(REGEX REPLACE "^int fsam_([a-z0-9_]+)(\\(.*\\))$" "FSAM_KERNEL(\\1, \\2)" kernel
    "${prototype}")
  string(APPEND list "${kernel}\n")
endforeach()
file(WRITE ${OUT} "${list}")
