# Cuts the part of engine/fsam.h between its markers into a Lua module that returns it as a string.
file(READ ${HEADER} text)
string(REGEX REPLACE "^.*/\\* cdef begin \\*/" "" text "${text}")
string(REGEX REPLACE "/\\* cdef end \\*/.*$" "" text "${text}")
file(WRITE ${OUT} "-- Generated from engine/fsam.h; edit that.\nreturn [==[${text}]==]\n")
