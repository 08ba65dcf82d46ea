# Writes a C header with the texts of FILES (a list of paths within the tree), for a compiler that
# has no files: initialisers of pairs of strings, the name by which a kernel includes it, its text.
set(out "/* Generated from ${FILES}; edit those. */\n")
foreach(file IN LISTS FILES)
  file(READ ${ROOT}/${file} text)
  string(REPLACE "\\" "\\\\" text "${text}")
  string(REPLACE "\"" "\\\"" text "${text}")
  string(REPLACE "\n" "\\n\"\n  \"" text "${text}")
  string(APPEND out "{\"${file}\",\n  \"${text}\"},\n")
endforeach()
file(WRITE ${OUT} "${out}")
