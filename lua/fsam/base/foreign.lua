--- Files of another kind than the one that is read, by their first bytes: archives, tables and
-- encodings of other programs under a name that promises text or weights.
--
-- Owns: these signatures, and what to do about each. Leaves to others: reading files (file.lua),
-- and formats that are wanted, which have their own signatures.
local M = {}

local GZIP = "is gzip-compressed; unpack it (gunzip)"
local BZIP2 = "is bzip2-compressed; unpack it (bunzip2)"
local XZ, ZSTD = "is xz-compressed; unpack it (unxz)", "is zstd-compressed; unpack it (unzstd)"
local ZIP, SHEET = "is a zip file; unpack it (unzip)", "is a spreadsheet; export it as CSV"
local PARQUET = "is a Parquet file; write the table as CSV or JSON lines"
local ARROW = "is an Arrow file; write the table as CSV or JSON lines"

local function encoded(name, from)
  return ("is %s, expected UTF-8; convert it (iconv -f %s -t UTF-8)"):format(name, from or name)
end

-- Lua pattern at the beginning → what the file is, and what to do. The first that fits counts.
local SIGNATURES = {
  { "^\31\139", GZIP }, { "^BZh[1-9]1AY&SY", BZIP2 }, { "^\253" .. "7zXZ%z", XZ },
  { "^\40\181\47\253", ZSTD },
  { "^PK\3\4", ZIP .. "; a spreadsheet is exported as CSV, and PyTorch's weights are called "
    .. "pytorch_model.bin" },
  { "^7z\188\175", "is a 7z archive; unpack it (7z x)" },
  { "^PAR1[%z\1-\8\14-\31]", PARQUET }, { "^ARROW1%z", ARROW },
  { "^\137HDF\r\n", "is an HDF5 file; save the model by Transformers' save_pretrained, which "
    .. "writes model.safetensors" },
  { "^SQLite format 3%z", "is a database; write the table as CSV or JSON lines" },
  { "^\255\254%z%z", encoded("UTF-32") }, { "^%z%z\254\255", encoded("UTF-32") },
  { "^\255\254", encoded("UTF-16") }, { "^\254\255", encoded("UTF-16") },
  { "^[\t-\126]%z[\t-\126]%z[\t-\126]%z", encoded("UTF-16", "UTF-16LE") },
  { "^%z[\t-\126]%z[\t-\126]%z[\t-\126]", encoded("UTF-16", "UTF-16BE") },
}

-- The beginning of a page that a server sent in place of a file. A text may begin so, too.
local PAGE = { "^%s*<![Dd][Oo][Cc][Tt][Yy][Pp][Ee] [Hh][Tt][Mm][Ll]", "^%s*<[Hh][Tt][Mm][Ll][ >]" }

--- How many bytes are enough to tell.
M.ENOUGH = 64

-- What Git LFS leaves in place of a large file that was not fetched: a short text.
local POINTER, POINTER_MOST = "version https://git-lfs.github.com/spec/", 1024

-- By the ends of names, where a name is all that there is to go by.
local ENDINGS = { gz = GZIP, bz2 = BZIP2, xz = XZ, zst = ZSTD, zip = ZIP, parquet = PARQUET,
  arrow = ARROW, feather = ARROW, xlsx = SHEET, xls = SHEET, ods = SHEET }

--- What a file is, and what to do about it.
-- @tparam string bytes its first ones (ENOUGH)
-- @tparam[opt=false] boolean page may it be an HTML page? For files that are no texts
-- @treturn ?string such as "is gzip-compressed; unpack it (gunzip)", nil for other files
function M.hint(bytes, page)
  for _, row in ipairs(SIGNATURES) do
    if bytes:find(row[1]) then
      return row[2]
    end
  end
  if page and (bytes:find(PAGE[1]) or bytes:find(PAGE[2])) then
    return "is a web page (HTML), not the file itself; download the file that the page shows"
  end
  return nil
end

--- The same of what stands for a file that was not fetched, whatever is read.
-- @tparam string bytes its first ones (ENOUGH)
-- @tparam number size of the whole file, in bytes
-- @treturn ?string
function M.pointer_hint(bytes, size)
  if size <= POINTER_MOST and bytes:sub(1, #POINTER) == POINTER then
    return "is a Git LFS pointer, not the file itself; fetch it with git lfs pull"
  end
  return nil
end

--- The same by the end of its name.
-- @tparam string path
-- @treturn ?string
function M.hint_of_name(path)
  return ENDINGS[path:lower():match("%.([^./]*)$")]
end

return M
