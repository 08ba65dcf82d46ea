# Writes a C header with the texts of FILES (a list of paths within the tree), for NVRTC, which gets
# headers from memory. Each is a pair of strings: the name in #include, and the text.
set(out "/* Generated from ${FILES}; edit those. */\n")
foreach(file IN LISTS FILES)
  file(READ ${ROOT}/${file} text)
  string(REPLACE "\\" "\\\\" text "${text}")
  string(REPLACE "\"" "\\\"" text "${text}")
  string(REPLACE "\n" "\\n\"\n  \"" text "${text}")
  string(APPEND out "{\"${file}\",\n  \"${text}\"},\n")
endforeach()
file(WRITE ${OUT} "${out}")
