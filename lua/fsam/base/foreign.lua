--- Files of another kind than the one that is read, by their first bytes: archives, tables and
-- encodings of other programs under a name that promises text or weights.
--
-- Owns: these signatures, and what to do about each. Leaves to others: reading files (file.lua),
-- and formats that are wanted, which have their own signatures.
local M = {}

-- Lua pattern at the beginning → what the file is, and what to do.
local KINDS = {
  { "^\31\139", "gzip-compressed", "unpack it (gunzip)" },
  { "^BZh[1-9]1AY&SY", "bzip2-compressed", "unpack it (bunzip2)" },
  { "^\253" .. "7zXZ%z", "xz-compressed", "unpack it (unxz)" },
  { "^\40\181\47\253", "zstd-compressed", "unpack it (unzstd)" },
  { "^PK\3\4", "a zip file", "unpack it (unzip); a spreadsheet is exported as CSV, and PyTorch's "
    .. "weights are called pytorch_model.bin" },
  { "^7z\188\175", "a 7z archive", "unpack it (7z x)" },
  { "^PAR1[%z\1-\8\14-\31]", "a Parquet file", "write the table as CSV or JSON lines" },
  { "^ARROW1%z", "an Arrow file", "write the table as CSV or JSON lines" },
  { "^\137HDF\r\n", "an HDF5 file", "save the model by Transformers' save_pretrained, which "
    .. "writes model.safetensors" },
  { "^SQLite format 3%z", "a database", "write the table as CSV or JSON lines" },
  { "^\255\254%z%z", "UTF-32, expected UTF-8", "convert it (iconv -f UTF-32 -t UTF-8)" },
  { "^%z%z\254\255", "UTF-32, expected UTF-8", "convert it (iconv -f UTF-32 -t UTF-8)" },
  { "^\255\254", "UTF-16, expected UTF-8", "convert it (iconv -f UTF-16 -t UTF-8)" },
  { "^\254\255", "UTF-16, expected UTF-8", "convert it (iconv -f UTF-16 -t UTF-8)" },
  { "^[\t-\126]%z[\t-\126]%z[\t-\126]%z", "UTF-16, expected UTF-8", "convert it "
    .. "(iconv -f UTF-16LE -t UTF-8)" },
  { "^%z[\t-\126]%z[\t-\126]%z[\t-\126]", "UTF-16, expected UTF-8", "convert it "
    .. "(iconv -f UTF-16BE -t UTF-8)" },
}

-- The beginning of a page that a server sent in place of a file. A text may begin so, too.
local PAGE = { "^%s*<![Dd][Oo][Cc][Tt][Yy][Pp][Ee] [Hh][Tt][Mm][Ll]", "^%s*<[Hh][Tt][Mm][Ll][ >]" }

--- How many bytes are enough to tell.
M.ENOUGH = 64

-- By the ends of names, where a name is all that there is to go by.
local BY_ENDING = { gz = KINDS[1], bz2 = KINDS[2], xz = KINDS[3], zst = KINDS[4],
  zip = { nil, "a zip file", "unpack it (unzip)" },
  parquet = KINDS[7], arrow = KINDS[8], feather = KINDS[8],
  xlsx = { nil, "a spreadsheet", "export it as CSV" },
  xls = { nil, "a spreadsheet", "export it as CSV" },
  ods = { nil, "a spreadsheet", "export it as CSV" } }

--- What a file is, and what to do about it.
-- @tparam string bytes its first ones (ENOUGH)
-- @tparam[opt=false] boolean page may it be an HTML page? For files that are no texts
-- @treturn ?string such as "is gzip-compressed; unpack it (gunzip)", nil for other files
function M.hint(bytes, page)
  for _, kind in ipairs(KINDS) do
    if bytes:find(kind[1]) then
      return ("is %s; %s"):format(kind[2], kind[3])
    end
  end
  if page and (bytes:find(PAGE[1]) or bytes:find(PAGE[2])) then
    return "is a web page (HTML), not the file itself; download the file that the page shows"
  end
  return nil
end

--- The same by the end of its name.
-- @tparam string path
-- @treturn ?string
function M.hint_of_name(path)
  local kind = BY_ENDING[(path:lower():match("%.([^./]*)$"))]
  return kind and ("is %s; %s"):format(kind[2], kind[3])
end

return M
