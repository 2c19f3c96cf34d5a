export { default } from "genba-ui/shell.js";
