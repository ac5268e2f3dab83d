/* SPDX-License-Identifier: Apache-2.0 */
/* Does nothing, successfully: the payload whose start is measured. Static, so that what is measured is not ld.so. */
int main(void)
{
	return 0;
}
